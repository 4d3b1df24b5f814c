"""The run values: params.yaml as frozen, checked settings.

One file holds every value of a run: DVC's parameters and Snakemake's configfile are both
params.yaml. ``parse`` refuses unknown keys at every depth and values out of range with one line
that names the key and says what is allowed.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from sbcflow.errors import ParamsError
from sbcflow.levels import LEVELS

PARAMS_FILE = "params.yaml"
SHOWN = 80

TEMPLATES = (
    "constant",
    "reversal",
    "sparse_benefit",
    "nonlinear",
    "monotone_gradient",
    "interaction_only",
    "clustered",
    "clustered_realistic",
)

Template = Literal[
    "constant",
    "reversal",
    "sparse_benefit",
    "nonlinear",
    "monotone_gradient",
    "interaction_only",
    "clustered",
    "clustered_realistic",
]
GENERATOR_FAMILIES = ("v2", "prior")
ESTIMATORS = ("hurdle",)
REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
SweepKind = Literal["train", "test", "exploratory"]
RunId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$", max_length=80),
]
Seed = Annotated[int, Field(ge=0, lt=2**53, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Visitors = Annotated[int, Field(ge=100, le=100_000_000, strict=True)]
Arms = Annotated[int, Field(ge=2, le=20, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("must name each value once")
    return values


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("must be [low, high] with low <= high")
    return pair


def _scored(level: float) -> float:
    if level not in LEVELS:
        raise ValueError(f"must be one of the levels that fits are scored at, {', '.join(map(str, LEVELS))}")
    return level


def is_reference(name: str) -> bool:
    """Return whether the name of an estimator or a family is of code of the user's own: ``module:name``."""
    return ":" in name


def _named_or_own(names: tuple[str, ...]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names and REFERENCE.fullmatch(name) is None:
            raise ValueError(f"must be {', '.join(names)}, or code of your own as mymodule:name")
        return name

    return AfterValidator(check)


GeneratorFamily = Annotated[str, Field(strict=True), _named_or_own(GENERATOR_FAMILIES)]
EstimatorName = Annotated[str, Field(strict=True), _named_or_own(ESTIMATORS)]
RATE_LIMITS, SPREAD_LIMITS = (0.0005, 0.5), (0.05, 4.0)
_Rate = Annotated[float, Field(ge=RATE_LIMITS[0], le=RATE_LIMITS[1])]
_Spread = Annotated[float, Field(ge=SPREAD_LIMITS[0], le=SPREAD_LIMITS[1])]
RateRange = Annotated[tuple[_Rate, _Rate], AfterValidator(_ascending)]
SpreadRange = Annotated[tuple[_Spread, _Spread], AfterValidator(_ascending)]
# Of the logit of conversion, drawn by its logarithm, and of the log mean spend.
_ConversionEffect = Annotated[float, Field(ge=0.001, le=3.0)]
_SeverityEffect = Annotated[float, Field(ge=0.0, le=3.0)]
ConversionEffects = Annotated[tuple[_ConversionEffect, _ConversionEffect], AfterValidator(_ascending)]
SeverityEffects = Annotated[tuple[_SeverityEffect, _SeverityEffect], AfterValidator(_ascending)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PrecisionSettings(_Settings):
    """How exactly a sweep is to tell the coverage at ``level``, and the most configs it may take for it."""

    level: Annotated[float, AfterValidator(_scored)]
    half_width: Annotated[float, Field(gt=0, lt=0.5)]
    max_configs: Count = 1000


class SweepSettings(_Settings):
    """One sweep: simulated experiments at each of ``scales`` (numbers of visitors).

    Either ``n_configs`` of them, or as many as a ``precision`` takes (see ``sweep.rounds``).
    """

    id: RunId
    master_seed: Seed
    n_configs: Count | None = None
    precision: PrecisionSettings | None = None
    scales: Annotated[tuple[Visitors, ...], Field(min_length=1), AfterValidator(_distinct)]
    generator_family: GeneratorFamily
    save_samples: Flag

    @property
    def most_configs(self) -> int:
        """The configs at each scale: ``n_configs``, or the most that a precision may take."""
        if self.precision is not None:
            return self.precision.max_configs
        assert self.n_configs is not None, "Params checks that one of the two is given"
        return self.n_configs

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the one of ``n_configs`` and ``precision`` that is not given."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if value is not None}


class TestSweepSettings(SweepSettings):
    """A test sweep, and the id of the train sweep whose correction it is to prove."""

    __test__ = False

    trained_correction_from: RunId


class CorrectionSettings(_Settings):
    """The corrections fitted on the train sweep, with a bootstrap over its fits."""

    id: RunId
    n_bootstrap: Annotated[int, Field(ge=100, strict=True)]
    seed: Seed


class EvaluationSettings(_Settings):
    """The scorecard of the corrections on the test sweep, with a bootstrap over its fits."""

    id: RunId
    n_bootstrap: Annotated[int, Field(ge=100, strict=True)]
    seed: Seed


class V2Settings(_Settings):
    """The stress family.

    Arms (control included); [low, high] of control's conversion probability, of the standard deviation of
    log spend, and of the size of the effects on the logit of conversion and on the log mean spend, which
    configs draw from; and the templates that they take in turn.
    """

    n_arms: Arms
    base_rate: RateRange
    severity_sigma: SpreadRange
    templates: Annotated[tuple[Template, ...], Field(min_length=1), AfterValidator(_distinct)]
    # What was drawn before these were settings: a params.yaml of then means the same.
    conversion_effect: ConversionEffects = (0.05, 0.35)
    severity_effect: SeverityEffects = (0.0, 0.15)


class PriorSettings(_Settings):
    """The family drawn from the model's own prior: arms, and continuous, binary and categorical features."""

    n_arms: Arms
    n_continuous: Annotated[int, Field(ge=0, le=50, strict=True)]
    n_binary: Annotated[int, Field(ge=0, le=50, strict=True)]
    n_categorical: Annotated[int, Field(ge=0, le=50, strict=True)]

    @model_validator(mode="after")
    def _has_features(self) -> PriorSettings:
        if self.n_continuous + self.n_binary + self.n_categorical == 0:
            raise ValueError("needs at least one feature: n_continuous, n_binary or n_categorical >= 1")
        return self


class GeneratorSettings(_Settings):
    """Settings of every generator family."""

    v2: V2Settings
    prior: PriorSettings


class OwnSettings(_Settings):
    """What code of the user's own is given, and the files that it depends on.

    ``estimator`` and ``family`` are handed on as they are, JSON values by name; ``files`` are those beside
    Python modules that decide its numbers, under the folder of params.yaml.
    """

    estimator: dict[str, JsonValue] = {}
    family: dict[str, JsonValue] = {}
    files: Annotated[tuple[str, ...], AfterValidator(_distinct)] = ()

    def __hash__(self) -> int:
        return hash(json.dumps(self.model_dump(mode="json"), sort_keys=True))


class BasisSettings(_Settings):
    """The regularised basis: spline knots per continuous feature, and pairwise products or none."""

    n_knots: Annotated[int, Field(ge=3, le=30, strict=True)]
    interactions: Flag
    max_columns: Annotated[int, Field(ge=2, le=4000, strict=True)]


class PartPriors(_Settings):
    """Priors of one part of the hurdle model, on its linear predictor's scale.

    Normal(``intercept_mean``, ``intercept_sd``) for control's level, HalfNormal(``shift_scale``) for the
    spread of the treatment arms' shifts about 0, HalfNormal(``prognostic_scale``) and
    HalfNormal(``treatment_scale``) for the spread that each group of basis columns gives the predictor.
    """

    intercept_mean: Finite
    intercept_sd: Positive
    shift_scale: Positive
    prognostic_scale: Positive
    treatment_scale: Positive


class SeverityPriors(PartPriors):
    """Priors of the severity part; log sigma ~ Normal(log ``noise_median``, ``noise_log_sd``)."""

    noise_median: Positive
    noise_log_sd: Positive


class ModelSettings(_Settings):
    """The hurdle model: its basis and the priors of both parts."""

    basis: BasisSettings
    conversion: PartPriors
    severity: SeverityPriors


class NutsSettings(_Settings):
    """The reference sampler: ``n_warmup`` and ``n_samples`` iterations in each of ``n_chains`` chains."""

    n_chains: Annotated[int, Field(ge=2, le=64, strict=True)]
    n_warmup: Count
    n_samples: Annotated[int, Field(ge=100, strict=True)]
    target_accept: Annotated[float, Field(gt=0.5, lt=1)]
    max_tree_depth: Annotated[int, Field(ge=2, le=12, strict=True)]


class InferenceSettings(_Settings):
    """How posteriors are found.

    ``n_draws`` posterior draws are kept; a ``laplace`` fit whose k-hat, estimated from
    ``khat_draws`` draws, is over ``khat_limit`` goes to NUTS.
    """

    method: Literal["laplace", "nuts"]
    n_draws: Annotated[int, Field(ge=100, strict=True)]
    khat_draws: Annotated[int, Field(ge=100, strict=True)]
    khat_limit: Positive
    nuts: NutsSettings


class ScoringSettings(_Settings):
    """What a fit is scored on: ``n_test`` test points, and averages over at most ``n_average`` visitors."""

    n_test: Annotated[int, Field(ge=10, strict=True)]
    n_average: Annotated[int, Field(ge=10, strict=True)]


class Params(_Settings):
    """All of params.yaml."""

    train_sweep: SweepSettings
    test_sweep: TestSweepSettings
    exploratory_sweep: SweepSettings
    fit_corrections: CorrectionSettings
    evaluate_layered: EvaluationSettings
    generators: GeneratorSettings
    estimator: EstimatorName
    own: OwnSettings = OwnSettings()
    model: ModelSettings
    inference: InferenceSettings
    scoring: ScoringSettings

    @model_validator(mode="after")
    def _sweeps_have_one_size(self) -> Params:
        for kind, sweep in self.sweeps().items():
            if sweep.n_configs is None and sweep.precision is None:
                raise ValueError(f"{kind}_sweep.n_configs: is missing; give it, or precision in its place")
            if sweep.n_configs is not None and sweep.precision is not None:
                raise ValueError(f"{kind}_sweep.precision: takes the place of n_configs; give one of the two")
        return self

    @model_validator(mode="after")
    def _sweeps_are_apart(self) -> Params:
        train, test = self.train_sweep, self.test_sweep
        if train.master_seed == test.master_seed:
            raise ValueError(
                f"train_sweep.master_seed and test_sweep.master_seed are both {train.master_seed}; "
                "they must differ"
            )
        if test.trained_correction_from != train.id:
            raise ValueError(
                f"test_sweep.trained_correction_from is {test.trained_correction_from!r}; "
                f"it must name the train sweep, {train.id!r}"
            )
        return self

    @model_validator(mode="after")
    def _ids_are_distinct(self) -> Params:
        ids = [section.id for section in self.runs().values()]
        if len(set(ids)) < len(ids):
            raise ValueError(f"the ids of {', '.join(self.runs())} must differ, got {', '.join(ids)}")
        return self

    @model_validator(mode="after")
    def _test_samples_are_saved(self) -> Params:
        if not self.test_sweep.save_samples:
            raise ValueError("test_sweep.save_samples must be true: the evaluation reads its draws")
        return self

    def runs(self) -> dict[str, SweepSettings | CorrectionSettings | EvaluationSettings]:
        """Return the sections that own a folder runs/<id>, by section name."""
        return {
            "train_sweep": self.train_sweep,
            "test_sweep": self.test_sweep,
            "exploratory_sweep": self.exploratory_sweep,
            "fit_corrections": self.fit_corrections,
            "evaluate_layered": self.evaluate_layered,
        }

    def estimator_settings(self) -> dict[str, Any]:
        """Return what of the values reaches the estimator, as JSON values by section."""
        return estimator_settings(self.model_dump(mode="json"))

    def sweeps(self) -> dict[SweepKind, SweepSettings]:
        """Return the sweeps by kind."""
        return {
            "train": self.train_sweep,
            "test": self.test_sweep,
            "exploratory": self.exploratory_sweep,
        }


def estimator_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of run values, as a manifest records them, reaches the estimator that they name."""
    if is_reference(values["estimator"]):
        return {"estimator": values["estimator"], "own": {"estimator": values["own"]["estimator"]}}
    return {name: values[name] for name in ("estimator", "model", "inference")}


def load(path: Path | str = PARAMS_FILE) -> Params:
    """Read and check a params file.

    Raises:
        ParamsError: the file is missing, is no YAML mapping, or holds a value that is not allowed.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the folder that holds {PARAMS_FILE}") from None
    except OSError as error:
        raise ParamsError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return parse(values, source=str(path))


def parse(values: object, source: str = PARAMS_FILE) -> Params:
    """Check the values of a params file and freeze them.

    Raises:
        ParamsError: naming the first key that is unknown, missing or out of range, and what is allowed.
    """
    if not isinstance(values, Mapping):
        raise ParamsError(f"{source}: must be a mapping of sections: {', '.join(Params.model_fields)}")
    try:
        return Params.model_validate(dict(values))
    except ValidationError as error:
        raise ParamsError(f"{source}: {_explain(_most_telling(error.errors()))}") from None


def _most_telling(errors: list[ErrorDetails]) -> ErrorDetails:
    """An unknown key explains the missing one it was meant to be, so it goes first."""
    return min(errors, key=lambda e: e["type"] != "extra_forbidden")


def _explain(error: ErrorDetails) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return _explain_unknown(error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if not key:
        return message
    if error["type"] == "missing":
        return f"{key}: is missing"
    if error["type"] == "string_pattern_mismatch":
        message = "must be letters and digits, parted by single '.', '_' or '-'"
    return f"{key}: {message}, got {_shown(error['input'])}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _explain_unknown(location: tuple[int | str, ...]) -> str:
    *parents, name = (str(part) for part in location)
    allowed = sorted(_fields_at(parents))
    near = difflib.get_close_matches(name, allowed, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{'.'.join([*parents, name])}: unknown key{hint} (allowed: {', '.join(allowed)})"


def _fields_at(parents: list[str]) -> list[str]:
    settings: type[BaseModel] = Params
    for name in parents:
        annotation = settings.model_fields[name].annotation
        either = (annotation, *get_args(annotation))
        settings = next(one for one in either if isinstance(one, type) and issubclass(one, BaseModel))
    return list(settings.model_fields)
