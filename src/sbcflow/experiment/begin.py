"""How an experiment begins: what its first event says, checked before anything is written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Literal

from sbcflow.errors import ExperimentNameError, RepositoryError
from sbcflow.experiment.dvc.project import DVC_YAML, git_metrics_file, read_project
from sbcflow.experiment.git.names import ExperimentRef, check_name, generate_name
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.journal import journal_path
from sbcflow.experiment.metrics import METRICS_FILE

FOLDER = "experiment"

OnError = Literal["keep", "discard"]
ON_ERROR: tuple[OnError, ...] = ("keep", "discard")


def first_facts(
    store: Store, name: str | None, baseline: str, metrics_file: str | None, folder: str
) -> dict[str, Any]:
    """Return the facts of the event ``init``.

    Raises:
        RepositoryError: no commit, no DVC, an unknown baseline, or a path outside DVC's project.
        ExperimentNameError: the name is not allowed, or taken on this baseline.
    """
    commit = store.commit(baseline)
    root = store.dvc_root(commit)
    folder = inside(folder, "folder")
    ref = free_ref(store, str(commit.id), name)
    return {
        "name": ref.name,
        "baseline": ref.baseline,
        "created": datetime.now(UTC).isoformat(),
        "base": ref.baseline,
        "code_base": store.head(),
        "root": str(root),
        "folder": folder,
        "metrics_file": choose_metrics_file(metrics_file, folder, store.read(commit.tree, root / DVC_YAML)),
        "tip": None,
        "n_checkpoints": 0,
    }


def choose_metrics_file(asked: str | None, folder: str, dvc_yaml: bytes | None) -> str:
    """Return where the last values of metrics go: as asked, as dvc.yaml declares, or among the experiment's.

    Raises:
        RepositoryError: what was asked for is no JSON file inside DVC's project.
    """
    if asked is None:
        return git_metrics_file(read_project(dvc_yaml or b"")) or f"{folder}/{METRICS_FILE}"
    if not asked.endswith(".json"):
        raise RepositoryError(f"metrics_file {asked!r}: must be a path that ends in .json")
    return inside(asked, "metrics_file")


def inside(path: str, what: str) -> str:
    """Return a path from DVC's root, as Git writes it.

    Raises:
        RepositoryError: it leads elsewhere.
    """
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts or parts[0] in (".git", ".dvc"):
        raise RepositoryError(f"{what} {path!r}: must be a relative path inside DVC's project")
    return str(PurePosixPath(path))


def check_on_error(on_error: str) -> OnError:
    """Return what an exception does to an experiment.

    Raises:
        ValueError: it is none of what it can do.
    """
    for allowed in ON_ERROR:
        if on_error == allowed:
            return allowed
    raise ValueError(f"on_error must be one of {', '.join(ON_ERROR)}, got {on_error!r}")


def free_ref(store: Store, baseline: str, name: str | None) -> ExperimentRef:
    """Return the reference of a new experiment; that no other has its journal is seen as it is made."""
    if name is None:
        ref = ExperimentRef(baseline, generate_name())
        while store.tip(ref) is not None or journal_path(store, ref).exists():
            ref = ExperimentRef(baseline, generate_name())
        return ref
    ref = ExperimentRef(baseline, check_name(name))
    if store.tip(ref) is not None:
        raise ExperimentNameError(f"experiment {name}: the name is taken on baseline {baseline[:7]}")
    return ref
