"""Checks of an audit's folder: audit.json, the fits by NUTS, and the sweep that it is of."""

from __future__ import annotations

from sbcflow.files import read_json
from sbcflow.manifest import MANIFEST_FILE, OWN
from sbcflow.sweep.layout import AUDIT, CONFIGS, SUMMARY, parse_config_id
from sbcflow.sweep.summary import read_sealed
from sbcflow.validate.findings import Run, mapping
from sbcflow.validate.sweep import runs_beside

KEYS = ("run_id", "config_ids", "n_fits", "unconverged", "approximate", "reference", "share")


def check_audit(run: Run) -> None:
    """Check the folder of an audit whose required files are there."""
    with run.findings.catching():
        found = mapping(read_json(run.root / AUDIT))
        missing = [key for key in KEYS if key not in found]
        if run.expect(not missing, AUDIT, f"is missing {', '.join(missing)}; an audit has it"):
            n_told = found["n_fits"] + found["unconverged"]
            run.expect_equal(n_told, len(found["config_ids"]), AUDIT, "n_fits and unconverged together")
            audited = {parse_config_id(one).index for one in found["config_ids"]}
            lacking = sorted(audited - _fitted(run))
            run.expect(
                not lacking, CONFIGS, f"has no fit by nuts of the configs {lacking}, which {AUDIT} names"
            )
        run.checked(f"{AUDIT} and the fits that it is of")
    _check_link(run)


def _fitted(run: Run) -> set[int]:
    """Return the indices of the configs that are fitted, each with a sound summary of its own."""
    indices = set()
    for path in sorted((run.root / CONFIGS).glob(f"*/{SUMMARY}")):
        with run.findings.catching():
            name = f"{CONFIGS}/{path.parent.name}/{SUMMARY}"
            run.expect_equal(read_sealed(path)["config_id"], path.parent.name, name, "config_id")
            indices.add(parse_config_id(path.parent.name).index)
    return indices


def _check_link(run: Run) -> None:
    """Check that the sweep that was audited is beside it, if any run is."""
    wanted = run.capability(OWN).get("links", {}).get("audited")
    place = f"pytyche.{OWN}.links.audited is {wanted}"
    beside = runs_beside(run.root)
    if beside:
        sweeps = [one["experiment_id"] for one in beside if "calibration" in one["pytyche"]]
        run.expect(wanted in sweeps, MANIFEST_FILE, f"{place}; must be one of the sweeps beside it: {sweeps}")
        run.checked("link to the sweep")
    else:
        run.findings.notes.append(
            f"{run.root}: no run beside it, so links.audited ({wanted}) was not followed"
        )
