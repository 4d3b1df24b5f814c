"""Other ways to the same effects, on the same trials, one after another: peers/run.py [--visitors N ...]

Trials are of five templates of the family v2, the pilot's configs 1 to 5. Every method gives draws of the
effect on the first visitors of a trial, whose truths are known, and is timed in a process of its own; what is
not ours in an environment of its own, built once under .cache/peers (needs the network). Figures go to
results/peers-<machine>.json as they come, each with its day; those that are not measured again stay there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))
from machine import describe_machine, environment, results_path  # noqa: E402

from sbcflow.data import Covariates, Float32Array  # noqa: E402
from sbcflow.generators import make_family  # noqa: E402
from sbcflow.params import load  # noqa: E402
from sbcflow.scoring import score_fit  # noqa: E402
from sbcflow.sweep.plan import plan_config  # noqa: E402

INDICES = (1, 2, 3, 4, 5)
N_POINTS = 500
FEW = 2_000
TIMEOUT = 7200
SCORES = ("rmse", "coverage_90", "interval_score_90", "crps")


@dataclass(frozen=True)
class Peer:
    """A method: what runs it, the packages of its environment (ours: none), the most visitors it is given."""

    name: str
    command: tuple[str, ...]
    packages: tuple[str, ...] = ()
    most_visitors: int = 10**9


PEERS = (
    Peer("sbcflow laplace", ("ours.py", "laplace")),
    Peer("sbcflow nuts", ("ours.py", "nuts")),
    Peer("NumPyro NUTS, stock settings", ("ours.py", "numpyro"), most_visitors=FEW),
    Peer("two-part regression, bootstrap", ("two_part.py",), ("scikit-learn==1.9.1",)),
    Peer("pytyche 0.2.1 joint BCF", ("pytyche_bcf.py",), ("pytyche==0.2.1", "bartz==0.10.0")),
)


def main() -> None:
    """Run every method on every trial."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=int, nargs="+", default=[FEW, 20_000])
    parser.add_argument("--configs", type=int, nargs="+", default=INDICES, help="of the pilot's train sweep")
    parser.add_argument("--only", nargs="+", default=[], help="peers whose names begin so")
    arguments = parser.parse_args()
    peers = [p for p in PEERS if not arguments.only or p.name.startswith(tuple(arguments.only))]
    pythons = {peer: interpreter(peer) for peer in peers}
    for n_visitors, index in itertools.product(arguments.visitors, arguments.configs):
        on_trial(n_visitors, index, pythons)


def on_trial(n_visitors: int, index: int, pythons: dict[Peer, Path]) -> None:
    """Keep the figures of every method on one trial."""
    with tempfile.TemporaryDirectory() as folder:
        template, truth = write_trial(Path(folder, "trial.npz"), index, n_visitors)
        trial = {"n_visitors": n_visitors, "config": index, "template": template}
        for peer, python in pythons.items():
            if n_visitors <= peer.most_visitors:
                keep(trial | {"method": peer.name} | run(peer, python, Path(folder), truth))


def keep(row: dict[str, object]) -> None:
    """Put figures into the file, in the place of earlier ones of that method on that trial."""
    print(json.dumps(row), flush=True)
    path = results_path("peers")
    former = json.loads(path.read_text())["rows"] if path.exists() else []
    same = ("n_visitors", "config", "method")
    others = [one for one in former if any(one[name] != row[name] for name in same)]
    row["measured"] = f"{datetime.now(UTC):%Y-%m-%d}"
    path.write_text(json.dumps({"machine": describe_machine(), "rows": [*others, row]}, indent=1) + "\n")


def interpreter(peer: Peer) -> Path:
    """Return the interpreter of a peer's environment."""
    if not peer.packages:
        return Path(sys.executable)
    folder = ROOT / ".cache" / "peers" / peer.command[0].removesuffix(".py")
    python, done = folder / "bin" / "python", folder / "complete"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *peer.packages], check=True)
        done.touch()
    return python


def write_trial(path: Path, index: int, n_visitors: int) -> tuple[str, np.ndarray]:
    """Simulate a trial into a file; return its template and the truths of its first visitors."""
    params = load(ROOT / "params.yaml")
    planned = plan_config(params, "train", index)
    family = make_family("v2", params)
    simulation = family.simulate(planned.seed, planned.knobs, n_visitors, 10)
    truth = simulation.visitor_cate[:N_POINTS, 0]
    covariates = simulation.trial.covariates
    np.savez(
        path,
        values=covariates.values,
        x=one_hot(covariates),
        arm=simulation.trial.arm,
        revenue=simulation.trial.revenue,
        truth=truth,
    )
    return str(planned.template), truth


def one_hot(covariates: Covariates) -> Float32Array:
    """Return the covariates with an indicator for each level but the first of a categorical one."""
    columns = []
    for column, feature in zip(covariates.values.T, covariates.features, strict=True):
        if feature.kind == "categorical":
            columns += [column == code for code in range(1, len(feature.levels))]
        else:
            columns.append(column)
    return np.stack(columns, axis=1).astype(np.float32)


def run(peer: Peer, python: Path, folder: Path, truth: np.ndarray) -> dict[str, object]:
    """Return the seconds of a fit and the scores of its draws."""
    draws = folder / "draws.npz"
    script, *rest = peer.command
    subprocess.run(
        [python, HERE / script, *rest, folder / "trial.npz", draws],
        check=True,
        timeout=TIMEOUT,
        cwd=ROOT,
        env=environment("JAX_", "PYTHONPATH"),
        stderr=subprocess.DEVNULL,
    )
    found = np.load(draws)
    scores = score_fit(found["draws"].astype(np.float64), truth)
    return {"seconds": float(found["seconds"]), **{name: scores[name] for name in SCORES}}


if __name__ == "__main__":
    main()
