"""Run folders to report on, made by the real code in seconds: its estimator is a difference in means."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from difference_estimator import DifferenceEstimator, DifferencePosterior
from sbcflow.analysis.read import Roles
from sbcflow.analysis.run import Request, analyze
from sbcflow.data import Trial
from sbcflow.params import Params, parse
from sbcflow.report.write import write_run_report
from sbcflow.sweep.corrections import write_corrections
from sbcflow.sweep.evaluation import write_evaluation
from sbcflow.sweep.fit import fit_config
from sbcflow.sweep.gather import gather_sweep
from sbcflow.sweep.layout import run_dir

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests/unit"))
from analysis_examples import shop, write_correction, write_params  # noqa: E402

SCALES = [800, 1600]
N_TRAIN, N_TEST = 8, 6
FAILED, ESCALATED = 3, 5


@dataclass(frozen=True)
class Marked(DifferencePosterior):
    """A posterior that tells of itself what a test wants told."""

    told: Mapping[str, float | int | bool | str | None]

    def diagnostics(self) -> Mapping[str, float | int | bool | str | None]:
        return self.told


class MarkingEstimator(DifferenceEstimator):
    """Makes every ``ESCALATED``-th fit one that went to NUTS, and the ``FAILED``-th one that failed."""

    n_fits = 0

    def fit(self, trial: Trial, seed: int) -> Marked:
        MarkingEstimator.n_fits += 1
        n = MarkingEstimator.n_fits
        told = {"converged": n != FAILED, "escalated": n % ESCALATED == 0, "khat": 0.1 * (n % 7)}
        return Marked(super().fit(trial, seed).draws, told)


def values(n_train: int = N_TRAIN) -> Params:
    """Return params.yaml with sweeps that are small, at two scales."""
    tree: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    tree["train_sweep"] |= {"n_configs": n_train, "scales": SCALES, "save_samples": True}
    tree["test_sweep"] |= {"n_configs": N_TEST, "scales": SCALES}
    tree["scoring"] |= {"n_test": 40, "n_average": 200}
    for section in ("fit_corrections", "evaluate_layered"):
        tree[section]["n_bootstrap"] = 200
    return parse(tree)


def make_evaluation(project: Path, n_train: int = N_TRAIN) -> Path:
    """Make the four runs of a pipeline in ``project``, report included; return the evaluation's folder.

    Its corrections hold one by regime where ``n_train`` times the scales are fits enough.
    """
    params = values(n_train)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setattr("sbcflow.sweep.fit.make_estimator", lambda _: MarkingEstimator())
        MarkingEstimator.n_fits = 0
        for kind, n_configs in (("train", n_train), ("test", N_TEST)):
            for index in range(n_configs * len(SCALES)):
                fit_config(params, kind, index)
            gather_sweep(params, kind)
        write_corrections(params)
        write_evaluation(params)
        write_run_report(params.evaluate_layered.id)
    return project / run_dir(params.evaluate_layered.id)


def make_analysis(
    folder: Path, *, arm: str = "banner", with_correction: bool = True, narrowness: float = 0.8
) -> Path:
    """Analyse a made-up shop whose treatment is called ``arm``; return the analysis's folder.

    ``narrowness`` is that of the correction's train sweep; above 1 the correction would narrow.
    """
    data, out = folder / "shop.csv", folder / "analysis"
    visitors = shop()
    visitors.assign(arm=visitors["arm"].replace({"banner": arm})).to_csv(data, index=False)
    correction = write_correction(folder / "correction", narrowness) if with_correction else None
    roles = Roles("arm", "None", "bought", "spend", ("age", "member", "city"))
    request = Request(data, roles, out, correction, write_params(folder / "params.yaml"), seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sbcflow.analysis.run.make_estimator", lambda _: DifferenceEstimator())
        analyze(request, say=lambda _: None)
    return out
