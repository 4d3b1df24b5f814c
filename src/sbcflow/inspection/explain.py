"""Why the configs of a sweep that have no fit would run: what changed since they were last fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sbcflow.inspection.former import Former, FormerFits
from sbcflow.inspection.sweeps import section_of
from sbcflow.inspection.values import Difference, differences
from sbcflow.params import Params, SweepKind, is_reference
from sbcflow.sweep.key import config_ingredients, context_ingredients
from sbcflow.sweep.layout import summary_path
from sbcflow.sweep.plan import PlannedConfig
from sbcflow.sweep.rounds import taken_so_far

# What of a key is not a setting of params.yaml under the same name.
RENAMED = ("generator", "save_samples", "source", "libraries")
OWN = ("index", "seed", "n_visitors", "knobs")


class Reason(StrEnum):
    """Why a config has no fit under its key."""

    CHANGED = "changed"
    NEVER_FITTED = "never fitted"
    NO_INGREDIENTS = "fitted by a version that kept no ingredients"
    SAME_INGREDIENTS = "fitted from the same ingredients, by a version that made keys otherwise"
    UNREADABLE = "fitted before, and that summary cannot be read"


@dataclass(frozen=True)
class Explanation:
    """A config that would run: why, its former fit (a folder's name), and which ingredients changed."""

    config_id: str
    index: int
    reason: Reason
    former: str | None = None
    changes: tuple[Difference, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "config_id": self.config_id,
            "index": self.index,
            "reason": str(self.reason),
            "former": self.former,
            "changes": [change.plain() for change in self.changes],
        }


@dataclass(frozen=True)
class Explained:
    """A sweep, the number of its configs, and those of them that would run."""

    section: str
    run_id: str
    n_configs: int
    would_run: tuple[Explanation, ...]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "section": self.section,
            "run_id": self.run_id,
            "n_configs": self.n_configs,
            "would_run": [one.plain() for one in self.would_run],
        }


def explain_sweep(params: Params, kind: SweepKind) -> Explained:
    """Return why each config without a summary would be fitted; nothing is written.

    A former fit is one of the same seed, else one at the same index of a seed that is in the plan no more,
    whose folder no gather has removed yet; of several the latest.
    """
    sweep, plan = params.sweeps()[kind], taken_so_far(params, kind).plan
    missing = [one for one in plan if not summary_path(sweep.id, one.config_id).exists()]
    former = FormerFits(sweep.id, plan) if missing else None
    context = context_ingredients(params, sweep)
    would_run = tuple(
        _explain(section_of(kind), planned, former.find(planned) if former else None, context)
        for planned in missing
    )
    return Explained(section_of(kind), sweep.id, len(plan), would_run)


def _explain(
    section: str, planned: PlannedConfig, former: Former | None, context: Mapping[str, Any]
) -> Explanation:
    if former is None:
        return Explanation(planned.config_id, planned.index, Reason.NEVER_FITTED)
    changes: tuple[Difference, ...] = ()
    if former.summary is None:
        reason = Reason.UNREADABLE
    elif not isinstance(former.summary.get("ingredients"), Mapping):
        reason = Reason.NO_INGREDIENTS
    else:
        before = _named(section, former.config, former.summary["ingredients"])
        changes = tuple(differences(before, _named(section, _config(planned), context)))
        reason = Reason.CHANGED if changes else Reason.SAME_INGREDIENTS
    return Explanation(planned.config_id, planned.index, reason, former.config_id, changes)


def _config(planned: PlannedConfig) -> dict[str, Any]:
    """Return what a summary would tell of a config."""
    told = config_ingredients(planned.seed, planned.n_visitors, planned.generator_family, planned.knobs)
    return {**told, "index": planned.index}


def _named(section: str, config: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Return ingredients under the names that they have in params.yaml, where they are there."""
    family = str(config.get("generator_family"))
    found: dict[str, Any] = {
        section: {"generator_family": family, "save_samples": context.get("save_samples")},
        **{name: value for name, value in context.items() if name not in RENAMED},
        **_generator(family, context),
        **{name: config.get(name) for name in OWN},
    }
    # Flat: a module's name has dots of its own, and so may a library's.
    for name in ("source", "libraries"):
        parts = context.get(name)
        found |= {f"{name}.{part}": of for part, of in parts.items()} if isinstance(parts, Mapping) else {}
    return found


def _generator(family: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """The generator's settings, in the section of params.yaml that they come from."""
    settings = context.get("generator")
    if is_reference(family):
        return {"own": {**(context.get("own") or {}), "family": settings}}
    return {"generators": {family: settings}}
