"""``validate``: checks of a manifest, or of a run folder of any kind with all its files.

A problem is one line: the file, what is wrong, what is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

from sbcflow.analysis.write import EFFECTS_FILE, VISITORS_FILE
from sbcflow.files import read_json
from sbcflow.manifest import MANIFEST_FILE, SEAL_PLACE, Manifest, RunKind, file_checksums, is_intact
from sbcflow.manifest import read as read_manifest
from sbcflow.sweep.layout import AUDIT, COVERAGE_CORRECTION, SCALE_FAMILY_CORRECTION
from sbcflow.validate.audit import check_audit
from sbcflow.validate.findings import Findings, Report, Run, mapping, table
from sbcflow.validate.sweep import SWEEP_FILES, check_sweep

REQUIRED_FILES: dict[RunKind, tuple[str, ...]] = {
    "sweep": SWEEP_FILES,
    "corrections": (COVERAGE_CORRECTION, SCALE_FAMILY_CORRECTION),
    "evaluation": ("scorecard.csv", "scorecard.json"),
    "analysis": (EFFECTS_FILE, VISITORS_FILE),
    "audit": (AUDIT,),
}


def validate(path: Path | str) -> Report:
    """Check a manifest, or a run folder: its manifest, checksums, keys, row counts and links.

    A bit that has flipped anywhere is found: each file is listed by its SHA-256 in the manifest, and
    the manifest carries a seal over all that it says.
    """
    target, findings = Path(path), Findings()
    if not target.exists():
        findings.problems.append(f"{target}: no such file or folder; give a manifest or a run folder")
        return findings.report()
    with findings.catching():
        path = target / MANIFEST_FILE if target.is_dir() else target
        manifest = read_manifest(path)
        findings.checked.append("manifest against its schema")
        _check_seal(path, manifest, findings)
        if target.is_dir():
            _check_folder(Run(target, manifest, findings))
    return findings.report()


def _check_seal(path: Path, manifest: Manifest, findings: Findings) -> None:
    """Find what reading a manifest cannot: a seal that is gone, values that are spelled another way."""
    with findings.catching():
        if not is_intact(path, manifest):
            findings.problems.append(
                f"{path}: must be, to the byte, what was written under {SEAL_PLACE}; altered, or made before "
                "there were seals: making the run again seals it"
            )
    findings.checked.append("seal of the manifest")


def _check_folder(run: Run) -> None:
    about = run.capability("sbcflow")
    kind: RunKind | None = about.get("run_kind")
    if run.expect("files" in about, MANIFEST_FILE, "pytyche.sbcflow.files is missing ({name: sha256})"):
        _check_checksums(run, about["files"])
    allowed = ", ".join(get_args(RunKind))
    if kind is None:
        run.expect(False, MANIFEST_FILE, f"pytyche.sbcflow.run_kind is missing (one of {allowed})")
        return
    missing = [name for name in REQUIRED_FILES[kind] if not (run.root / name).is_file()]
    for name in missing:
        run.expect(False, name, f"no such file; a run of the kind {kind} has it")
    run.checked(f"files of a run of the kind {kind}")
    if not missing:
        _CHECKS[kind](run)


def _check_checksums(run: Run, listed: Mapping[str, str]) -> None:
    actual = file_checksums(run.root)
    for name in sorted(listed.keys() | actual.keys()):
        if run.expect(name in actual, name, "is missing; the manifest lists it") and run.expect(
            name in listed, name, "is not listed in the manifest; a run holds listed files alone"
        ):
            unchanged = actual[name] == listed[name]
            run.expect(unchanged, name, f"was changed: its sha256 must be {listed[name]} (manifest)")
    run.checked(f"checksums of {len(listed)} files")


def _check_corrections(run: Run) -> None:
    from sbcflow.calibration.corrections import Corrections

    with run.findings.catching():
        Corrections.load(run.root)
    run.checked("values of the corrections")


def _check_evaluation(run: Run) -> None:
    with run.findings.catching():
        card = read_json(run.root / "scorecard.json")
        run.expect(bool(mapping(card)), "scorecard.json", "must be an object with at least one key")
    run.expect(bool(table(run, "scorecard.csv")), "scorecard.csv", "has no row")
    run.checked("scorecard.json and scorecard.csv can be read")
    _check_conditional(run)


def _check_conditional(run: Run) -> None:
    from sbcflow.calibration.conditional.card import ConditionalCard

    if ConditionalCard.is_in(run.root):
        with run.findings.catching():
            ConditionalCard.load(run.root)
        run.checked("conditional.json and conditional.csv can be read")


def _check_analysis(run: Run) -> None:
    from pyarrow import ArrowException, parquet

    kind = run.manifest["data_provenance"]["kind"]
    message = f"data_provenance.kind is {kind}; an analysis has external data"
    run.expect(kind == "external", MANIFEST_FILE, message)
    run.expect(bool(table(run, "effects.csv")), "effects.csv", "has no row")
    try:
        n_rows = parquet.read_metadata(run.root / "cate.parquet").num_rows
        run.expect(n_rows > 0, "cate.parquet", "has no row; must have one a visitor")
    except (ArrowException, OSError) as error:
        run.expect(False, "cate.parquet", f"not a sound parquet file: {' '.join(str(error).split())}")
    run.checked("effects.csv and cate.parquet can be read")


_CHECKS: dict[RunKind, Callable[[Run], None]] = {
    "sweep": check_sweep,
    "corrections": _check_corrections,
    "evaluation": _check_evaluation,
    "analysis": _check_analysis,
    "audit": check_audit,
}
