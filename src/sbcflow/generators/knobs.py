"""The knobs of a stress config: what a row of a sweep's table says about how its data were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from sbcflow.errors import ParamsError
from sbcflow.params import TEMPLATES, V2Settings
from sbcflow.streams import Purpose, rng_for

CLUSTER_TEMPLATES = ("clustered", "clustered_realistic")
POSITIVE_SHARE = 0.65


@dataclass(frozen=True)
class Knobs:
    """Settings drawn for one config; ``template`` names the shape of the treatment effect.

    ``base_rate``: mean conversion probability of control. ``severity_log_mean``, ``severity_sigma``:
    mean over customers, and standard deviation given covariates, of a control converter's log spend.
    ``prognostic_conversion``, ``prognostic_severity``: standard deviation over customers of the logit
    of conversion and of the log mean spend, without treatment or clusters. ``conversion_effect``,
    ``severity_effect``: root mean square, signed, of arm 1's effect on those two scales.
    ``n_clusters`` customer clusters (0 where the template has none), the standard deviation of their
    effects relative to the mean effect, and of their baselines on both scales.
    """

    template: str
    base_rate: float
    severity_log_mean: float
    severity_sigma: float
    prognostic_conversion: float
    prognostic_severity: float
    conversion_effect: float
    severity_effect: float
    n_clusters: int
    cluster_effect_sd: float
    cluster_baseline_sd: float

    @classmethod
    def parse(cls, values: Mapping[str, float | int | str]) -> Knobs:
        """Read knobs back from a plain mapping.

        Raises:
            ParamsError: a knob is missing or unknown, or the template is no known one.
        """
        names = {field.name for field in fields(cls)}
        if wrong := sorted(names ^ set(values)):
            raise ParamsError(f"knobs of family v2: missing or unknown: {', '.join(wrong)}")
        if values["template"] not in TEMPLATES:
            raise ParamsError(f"template: {values['template']!r} is none of {', '.join(TEMPLATES)}")
        return cls(**values)  # type: ignore[arg-type]

    def plain(self) -> dict[str, float | int | str]:
        """Return the knobs as plain scalars by name."""
        return asdict(self)


def draw(seed: int, template: str, settings: V2Settings) -> Knobs:
    """Draw the knobs of a config from its seed; each is drawn whatever the template."""
    rng = rng_for(seed, Purpose.KNOBS)
    always_benefit = template == "sparse_benefit"
    knobs = Knobs(
        template=template,
        base_rate=_round(_log_uniform(rng, *settings.base_rate)),
        severity_log_mean=_round(rng.uniform(3.0, 4.5)),
        severity_sigma=_round(rng.uniform(*settings.severity_sigma)),
        prognostic_conversion=_round(rng.uniform(0.3, 1.0)),
        prognostic_severity=_round(rng.uniform(0.1, 0.5)),
        conversion_effect=_round(_log_uniform(rng, *settings.conversion_effect) * _sign(rng, always_benefit)),
        severity_effect=_round(rng.uniform(*settings.severity_effect) * _sign(rng, always_benefit)),
        n_clusters=int(rng.integers(3, 9)),
        cluster_effect_sd=_round(rng.uniform(0.5, 1.5)),
        cluster_baseline_sd=_round(rng.uniform(0.2, 0.6)),
    )
    return knobs if template in CLUSTER_TEMPLATES else _without_clusters(knobs)


def _without_clusters(knobs: Knobs) -> Knobs:
    return replace(knobs, n_clusters=0, cluster_effect_sd=0.0, cluster_baseline_sd=0.0)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _sign(rng: np.random.Generator, always_positive: bool) -> int:
    positive = rng.random() < POSITIVE_SHARE
    return 1 if positive or always_positive else -1


def _round(value: float) -> float:
    """Four digits: what the table shows is exactly what was simulated, and is readable."""
    return float(f"{value:.4g}")
