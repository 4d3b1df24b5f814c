"""Which sweep a user means."""

from __future__ import annotations

from sbcflow.errors import ParamsError
from sbcflow.params import Params, SweepKind
from sbcflow.sweep.layout import job_ids, run_dir


def section_of(kind: SweepKind) -> str:
    """Return the section of params.yaml that holds a sweep."""
    return f"{kind}_sweep"


def find_sweep(params: Params, name: str) -> SweepKind:
    """Return the sweep whose run id or section is ``name``.

    Raises:
        ParamsError: there is none; the message says what there is.
    """
    sweeps = params.sweeps()
    by_id: dict[str, SweepKind] = {sweep.id: kind for kind, sweep in sweeps.items()}
    by_section: dict[str, SweepKind] = {section_of(kind): kind for kind in sweeps}
    found = by_id.get(name) or by_section.get(name)
    if found is None:
        allowed = ", ".join(f"{sweep.id} ({section_of(kind)})" for kind, sweep in sweeps.items())
        raise ParamsError(f"{name!r}: no such sweep; allowed: {allowed}")
    return found


def begun_sweeps(params: Params) -> list[SweepKind]:
    """Return the sweeps of the pipeline, and the exploratory one where there is anything of it."""
    sweeps = params.sweeps()
    explored = sweeps["exploratory"].id
    return [
        kind for kind in sweeps if kind != "exploratory" or run_dir(explored).exists() or job_ids(explored)
    ]
