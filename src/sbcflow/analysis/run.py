"""A whole analysis: check everything, fit, write the folder in one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from sbcflow.analysis.calibrate import load_corrections
from sbcflow.analysis.changes import SHOWN_LEVEL, Widths
from sbcflow.analysis.effects import Regime, check_regime, effect_table, observed_of
from sbcflow.analysis.estimator import estimator_gaps
from sbcflow.analysis.points import beyond_the_sweep, layered_points, regime_points
from sbcflow.analysis.read import Roles, read_trial
from sbcflow.analysis.scenario import SCENARIO_FILE, Scenario, scenario_for
from sbcflow.analysis.visitors import write_visitors
from sbcflow.analysis.write import EFFECTS_FILE, VISITORS_FILE, Record, check_out, write_manifest
from sbcflow.calibration.corrections import LAYERED, Corrections, check_method, choose, files_of
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.regime.correction import REGIME, RegimeCorrection
from sbcflow.data import Trial
from sbcflow.errors import ParamsError
from sbcflow.estimators import Posterior, make_estimator
from sbcflow.files import replacing, replacing_folder, sha256_of, write_text
from sbcflow.params import Params
from sbcflow.params import load as load_params
from sbcflow.report.write import build, write_report

# Bytes of a data file that takes long enough to read to say so.
LARGE_FILE = 10_000_000


@dataclass(frozen=True)
class Request:
    """What an analysis is of: the data and their roles, where it goes, and what it is done with.

    ``method`` is how the intervals of single visitors are corrected; the corrections' default where None.
    """

    data: Path
    roles: Roles
    out: Path
    correction: Path | None
    params: Path
    seed: int
    method: str | None = None


@dataclass(frozen=True)
class Analysis:
    """What came out: effects.csv as a table, the regime, widths over visitors, and notes for the reader.

    ``next_step`` says what to do with scenario.yaml; "" where there is none. ``method`` is how intervals of
    single visitors were corrected, of no meaning without a correction.
    """

    effects: pd.DataFrame
    regime: Regime
    widths: Widths
    notes: tuple[str, ...]
    next_step: str
    method: str


def analyze(request: Request, say: Callable[[str], None]) -> Analysis:
    """Analyse a real experiment and write its folder: effects.csv, cate.parquet, manifest.json, report.html.

    Outside the regime of the correction also scenario.yaml, of a sweep for one that holds.

    Everything given is checked before the fit, and the folder appears when all of it is written.

    Raises:
        ParamsError: the params file, the method, or a folder that ``out`` may not take the place of.
        DataError: the data file cannot be analysed.
        ArtifactError: the correction cannot be read.
        OwnCodeError: the estimator is the user's own, and cannot be loaded or breaks its contract.
        EstimationError: the fit could not be carried out.
    """
    check_out(request.out)
    params = load_params(request.params)
    estimator = make_estimator(params)
    corrections, by_regime = _load_corrections(request)
    correction = corrections.layered if corrections else None
    gaps = estimator_gaps(params, correction)
    _say_reading(request.data, say)
    found = read_trial(request.data, request.roles)
    sha256 = sha256_of(request.data)
    trial = found.trial
    say(f"{request.data}: {_described(trial)}")
    posterior = estimator.fit(trial, request.seed)
    say("fitted; averaging the effects")
    effects = effect_table(trial, posterior, correction, gaps)
    regime = check_regime(trial, correction, gaps)
    if by_regime:
        regime = replace(regime, beyond=beyond_the_sweep(by_regime, trial, posterior))
    scenario = _scenario(request, trial, correction)
    with replacing_folder(request.out) as folder:
        with replacing(folder / EFFECTS_FILE) as stream:
            effects.to_csv(stream, index=False, lineterminator="\n")
        say("averaged; finding the effect on each visitor")
        rules = layered_points(correction) if correction else None
        if by_regime:
            rules = regime_points(by_regime, trial, posterior, inside=bool(regime.ok))
        widths = write_visitors(folder / VISITORS_FILE, trial, posterior, rules)
        if scenario:
            write_text(folder / SCENARIO_FILE, scenario.text)
        record = _record(request, params, trial, posterior, correction, by_regime, regime, widths)
        write_manifest(folder, request.data, sha256, record)
        say("found; writing the report")
        write_report(build(folder, request.out.resolve().name), folder)
    notes = (
        *found.notes,
        *_method_notes(request, corrections, by_regime, regime),
        *_convergence_notes(posterior),
    )
    next_step = scenario.next_step(str(request.out / SCENARIO_FILE)) if scenario else ""
    return Analysis(effects, regime, widths, notes, next_step, _method_of(by_regime))


def _load_corrections(request: Request) -> tuple[Corrections | None, RegimeCorrection | None]:
    """The corrections, and the one by regime where the visitors' intervals are to be by it."""
    if request.method is not None:
        check_method(request.method)
    if request.correction is None:
        if request.method == REGIME:
            raise ParamsError("method: regime needs a correction (--correction DIR)")
        return None, None
    corrections = load_corrections(request.correction)
    chosen = choose(corrections, request.method or corrections.default_method, request.correction)
    return corrections, chosen if isinstance(chosen, RegimeCorrection) else None


def _method_of(by_regime: RegimeCorrection | None) -> str:
    return LAYERED if by_regime is None else REGIME


def _method_notes(
    request: Request, corrections: Corrections | None, by_regime: RegimeCorrection | None, regime: Regime
) -> tuple[str, ...]:
    if corrections is None:
        return ()
    if by_regime is None:
        why = "as asked" if request.method == LAYERED else corrections.why_layered
        return (f"visitors' intervals follow the layered rule: {why}",)
    narrower = "" if regime.ok else ", nowhere narrower than raw: outside the regime"
    rule = by_regime.rule(SHOWN_LEVEL)
    return (f"visitors' intervals follow the rule: {rule}{narrower}; those of averages the layered rule",)


def _scenario(request: Request, trial: Trial, correction: LayeredCorrection | None) -> Scenario | None:
    if request.correction is None or correction is None:
        return None
    return scenario_for(correction.regime.settings(observed_of(trial)), request.out, request.correction)


def _say_reading(path: Path, say: Callable[[str], None]) -> None:
    if path.is_file() and path.stat().st_size >= LARGE_FILE:
        say(f"reading {path}")


def _described(trial: Trial) -> str:
    sizes = np.bincount(trial.arm, minlength=trial.n_arms)
    arms = ", ".join(f"{name} {size:,}" for name, size in zip(trial.arm_names, sizes, strict=True))
    features = ", ".join(f"{f.name} ({f.kind})" for f in trial.covariates.features)
    n_converted = int(trial.converted.sum())
    return f"{trial.n_visitors:,} visitors ({arms}), {n_converted:,} converted; features: {features}"


def _convergence_notes(posterior: Posterior) -> tuple[str, ...]:
    if posterior.diagnostics()["converged"]:
        return ()
    return ("the fit did not converge; do not rely on these effects (diagnostics are in manifest.json)",)


def _record(
    request: Request,
    params: Params,
    trial: Trial,
    posterior: Posterior,
    correction: LayeredCorrection | None,
    by_regime: RegimeCorrection | None,
    regime: Regime,
    widths: Widths,
) -> Record:
    observed, scenario = observed_of(trial), _scenario(request, trial, correction)
    # The folder by its name: where it lies now is no part of what was found.
    file = f"{request.out.resolve().name}/{SCENARIO_FILE}"
    next_step = {"next_step": scenario.next_step(file)} if scenario else {}
    return Record(
        params={
            "arguments": {
                "arm": request.roles.arm,
                "control": request.roles.control,
                "converted": request.roles.converted,
                "revenue": request.roles.revenue,
                "exclude": list(request.roles.exclude),
                "features": [feature.name for feature in trial.covariates.features],
                "seed": request.seed,
                "method": _method_of(by_regime),
            },
            **params.model_dump(mode="json", include={"estimator", "own", "model", "inference"}),
        },
        about={
            "arms": list(trial.arm_names),
            "observed": vars(observed),
            "regime": _regime_json(regime, correction) | next_step,
            "mean_width_90": vars(widths),
            "diagnostics": dict(posterior.diagnostics()),
        },
        links=_links(request, correction),
    )


def _regime_json(regime: Regime, correction: LayeredCorrection | None) -> dict[str, object]:
    found: dict[str, object] = {
        "ok": regime.ok,
        "messages": list(regime.messages),
        "advice": regime.advice,
        "beyond": list(regime.beyond),
    }
    return found | ({"trained": correction.regime.to_json()} if correction else {})


def _links(request: Request, correction: LayeredCorrection | None) -> dict[str, object] | None:
    """The train sweep's experiment_id, and the correction's files by their sha256."""
    folder = request.correction
    if folder is None or correction is None:
        return None
    files = {name: sha256_of(folder / name) for name in sorted(files_of(folder))}
    return {"trained_on": correction.trained_on, "correction": files}
