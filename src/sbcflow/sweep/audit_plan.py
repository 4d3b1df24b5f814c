"""Which experiments of a sweep an audit fits again, by which settings, and where.

Pure and light, as the plan of a sweep is: Snakemake makes it again whenever it parses the workflow.
"""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sbcflow.errors import ParamsError
from sbcflow.params import Params, SweepKind
from sbcflow.sweep.batch import Batch, plan_batches
from sbcflow.sweep.layout import audit_id
from sbcflow.sweep.plan import PlannedConfig
from sbcflow.sweep.rounds import taken_so_far

AUDIT_SHARE = "audit_share"
DEFAULT_SHARE = 0.05
# The seed that draws the experiments of the workflow's audits, and resamples their fits.
DRAW_SEED = 0
FEWEST = 2


@dataclass(frozen=True)
class AuditSettings:
    """How much of a sweep an audit fits again: a setting of the execution, in no key of the sweep's."""

    share: float = DEFAULT_SHARE

    @classmethod
    def take(cls, settings: MutableMapping[str, Any]) -> AuditSettings:
        """Take it out of the settings that Snakemake was given, where it may stand among the run values.

        Raises:
            ParamsError: it is no number in (0, 1].
        """
        share = settings.pop(AUDIT_SHARE, DEFAULT_SHARE)
        is_number = isinstance(share, int | float) and not isinstance(share, bool)
        if not is_number or not 0 < share <= 1:
            raise ParamsError(f"{AUDIT_SHARE}: must be a number in (0, 1], got {share!r}")
        return cls(float(share))


def reference_params(params: Params, kind: SweepKind) -> Params:
    """Return the run values under which the experiments of a sweep are fitted by NUTS.

    The sweep has the run id of its audit, as many configs as it took, and keeps no draws; all else of it
    stays, so that its configs are the same experiments, under keys that hold the settings of NUTS.

    Raises:
        ParamsError: the sweep's fits are not by ``laplace`` of ``hurdle``, or a run has the audit's id.
    """
    if params.estimator != "hurdle" or params.inference.method != "laplace":
        raise ParamsError("an audit is of fits of the estimator hurdle by the inference method laplace")
    sweep = params.sweeps()[kind]
    name = audit_id(sweep.id)
    for section, run in params.runs().items():
        if run.id == name:
            raise ParamsError(
                f"{section}.id: is {name!r}, which is that of the audit of {sweep.id}; change it"
            )
    n_configs = len(taken_so_far(params, kind).plan) // len(sweep.scales)
    size = {"n_configs": n_configs, "precision": None}
    audited = sweep.model_copy(update={"id": name, "save_samples": False, **size})
    exact = params.inference.model_copy(update={"method": "nuts"})
    return params.model_copy(update={f"{kind}_sweep": audited, "inference": exact})


def drawn(params: Params, kind: SweepKind, share: float, seed: int) -> tuple[PlannedConfig, ...]:
    """Return the configs of a sweep to audit: a random ``share``, at least two, in index order.

    Each index has a number of its own, drawn from ``seed``, and the smallest are taken: a larger share only
    adds, and a sweep that grows keeps most of its draw.

    Raises:
        ParamsError: the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ParamsError(f"share: must lie in (0, 1], got {share:g}")
    plan = taken_so_far(params, kind).plan
    size = min(len(plan), max(FEWEST, math.ceil(share * len(plan))))
    order = np.argsort(np.random.default_rng(seed).random(len(plan)))
    return tuple(plan[i] for i in np.sort(order[:size]))


def refits(params: Params, kind: SweepKind, share: float) -> tuple[PlannedConfig, ...]:
    """Return the fits by NUTS that the workflow's audit of a sweep consists of; of its ``reference_params``.

    Raises:
        ParamsError: there is no audit of this sweep.
    """
    return drawn(reference_params(params, kind), kind, share, DRAW_SEED)


def refit_batches(params: Params, kind: SweepKind, share: float) -> list[Batch]:
    """Return the jobs of the workflow's audit of a sweep, a fit each.

    Raises:
        ParamsError: there is no audit of this sweep.
    """
    batches = plan_batches(reference_params(params, kind), kind, size=1)
    return [batches[planned.index] for planned in refits(params, kind, share)]
