"""The Laplace fit of docs/model.md again, dense and in float64, run until nothing moves: a slow reference.

It shares the basis and the prior with the package, and no other code: the design is one matrix, the
Gauss-Hermite sums have 40 nodes, the evidence is an explicit inverse and a log determinant, its top is found
by L-BFGS to 1e-7 and its curvature by differences. What the package does for speed (float32 columns, blocks,
a start from some of the visitors, curvature that is kept, LAPACK's packed inverse) is measured against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import scipy.optimize
from scipy.special import expit

from sbcflow.basis import Basis
from sbcflow.data import FloatArray, Trial
from sbcflow.inference.laplace import LaplaceFit
from sbcflow.likelihood import Curvature
from sbcflow.model import PartPrior

N_NODES = 40
MAX_STEPS = 200
SMALLEST_STEP = 1e-12
DIFFERENCE = 1e-4
WIDEST_ROOT = 1.5
CHUNK = 4096


@dataclass(frozen=True)
class Quadratic:
    """c -> linear'c - c'precision c/2 - squares/2 in coef - prior mean; with sigma, over sigma^2."""

    precision: FloatArray
    linear: FloatArray
    squares: float
    n: float


def dense_columns(trial: Trial, basis: Basis) -> FloatArray:
    """Return the columns (n, n_columns) of every visitor, computed in float64."""
    with jax.enable_x64(True):
        return np.asarray(basis.columns(trial.covariates.values.astype(np.float64))).T


def design(columns: FloatArray, arm: FloatArray, n_arms: int) -> FloatArray:
    """Return the design (n, D) of common row and deviations."""
    return np.concatenate([columns, *(columns * (arm == k)[:, None] for k in range(1, n_arms))], axis=1)


def fit_severity(trial: Trial, basis: Basis, prior: PartPrior, theta: FloatArray) -> LaplaceFit:
    """The reference of laplace.fit_severity."""
    who = trial.converted
    rows = design(dense_columns(trial, basis)[who], trial.arm[who], trial.n_arms)
    outcome = np.log(trial.revenue[who]) - rows @ prior.mean.ravel()
    quadratic = Quadratic(rows.T @ rows, rows.T @ outcome, float(outcome @ outcome), len(outcome))
    return finish(quadratic, prior, top(quadratic, prior, theta))


def fit_conversion(trial: Trial, basis: Basis, prior: PartPrior, theta: FloatArray) -> LaplaceFit:
    """The reference of laplace.fit_conversion."""
    rows = design(dense_columns(trial, basis), trial.arm, trial.n_arms)
    converted = trial.converted.astype(np.float64)
    quadratic, step = None, np.zeros(prior.mean.size)
    for _ in range(30):
        quadratic = expand(rows, converted, prior, step, np.zeros((step.size, step.size)), n_nodes=1)
        theta = top(quadratic, prior, theta)
        step = gaussian(quadratic, prior, theta)[0]
    for _ in range(MAX_STEPS):
        mean, covariance = gaussian(quadratic, prior, theta)
        quadratic = expand(rows, converted, prior, mean, covariance, N_NODES)
        theta = top(quadratic, prior, theta)
        moved = gaussian(quadratic, prior, theta)[0] - mean
        if moved @ np.linalg.solve(covariance, moved) < SMALLEST_STEP:
            return finish(quadratic, prior, theta)
    raise AssertionError("the reference does not settle")


def expand(
    rows: FloatArray,
    converted: FloatArray,
    prior: PartPrior,
    step: FloatArray,
    covariance: FloatArray,
    n_nodes: int,
) -> Quadratic:
    """Return the quadratic with score and curvature in expectation (Opper and Archambeau 2009)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    precision, score = np.zeros((step.size, step.size)), np.zeros(step.size)
    for start in range(0, len(rows), CHUNK):
        x, y = rows[start : start + CHUNK], converted[start : start + CHUNK]
        spread = np.sqrt(np.maximum(np.sum((x @ covariance) * x, axis=1), 0))
        rate = expit((x @ (prior.mean.ravel() + step))[:, None] + spread[:, None] * nodes)
        weight = (rate * (1 - rate)) @ weights / weights.sum()
        precision += x.T @ (x * weight[:, None])
        score += x.T @ (y - rate @ weights / weights.sum())
    return Quadratic(precision, score + precision @ step, 0.0, 0.0)


def spreads(prior: PartPrior, theta: FloatArray) -> tuple[FloatArray, float]:
    """Return the prior sd (D,) of coefficients, and sigma."""
    scales = np.exp(theta[: prior.n_scales])
    sd = np.where(prior.scale_index < 0, 1.0, scales[prior.scale_index]) * prior.fixed_sd
    return sd.ravel(), float(np.exp(theta[-1])) if prior.has_noise else 1.0


def gaussian(quadratic: Quadratic, prior: PartPrior, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean (D,) and covariance (D, D) of coef - prior mean given theta."""
    sd, noise = spreads(prior, theta)
    inner = np.linalg.inv(np.eye(len(sd)) + sd[:, None] * quadratic.precision * sd / noise**2)
    covariance = sd[:, None] * inner * sd
    return covariance @ quadratic.linear / noise**2, covariance


def evidence(quadratic: Quadratic, prior: PartPrior, theta: FloatArray) -> tuple[float, FloatArray]:
    """Return the log evidence and its gradient (T,) (MacKay 1992)."""
    sd, noise = spreads(prior, theta)
    mean, covariance = gaussian(quadratic, prior, theta)
    a = np.eye(len(sd)) + sd[:, None] * quadratic.precision * sd / noise**2
    pull = quadratic.linear @ mean / noise**2
    value = 0.5 * pull - 0.5 * np.linalg.slogdet(a)[1] - 0.5 * quadratic.squares / noise**2
    value -= quadratic.n * np.log(noise)
    known = (mean**2 + np.diag(covariance)) / sd**2 - 1
    gradient = np.array([known[prior.scale_index.ravel() == g].sum() for g in range(prior.n_scales)])
    log_scales = theta[: prior.n_scales]
    ratio = np.exp(log_scales) / prior.widths
    value += np.sum(log_scales - 0.5 * ratio**2)
    gradient += 1 - ratio**2
    if prior.has_noise:
        fit = quadratic.squares - 2 * quadratic.linear @ mean + mean @ quadratic.precision @ mean
        fit += np.sum(quadratic.precision * covariance)
        away = (theta[-1] - np.log(prior.noise[0])) / prior.noise[1]
        value -= 0.5 * away**2
        gradient = np.append(gradient, fit / noise**2 - quadratic.n - away / prior.noise[1])
    return float(value), gradient


def top(quadratic: Quadratic, prior: PartPrior, theta: FloatArray) -> FloatArray:
    """Return the theta of largest evidence."""

    def objective(at: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = evidence(quadratic, prior, at)
        return -value, -gradient

    bounds = [(np.log(1e-4), np.log(1e2))] * len(theta)
    options = {"ftol": 1e-15, "gtol": 1e-7, "maxiter": 500}
    return scipy.optimize.minimize(
        objective, theta, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    ).x


def finish(quadratic: Quadratic, prior: PartPrior, theta: FloatArray) -> LaplaceFit:
    """Return what the package's own draws are made from."""
    steps = DIFFERENCE * np.eye(len(theta))
    ahead = np.array([evidence(quadratic, prior, theta + s)[1] for s in steps])
    behind = np.array([evidence(quadratic, prior, theta - s)[1] for s in steps])
    hessian = (behind - ahead) / (2 * DIFFERENCE)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    root = vectors / np.sqrt(np.maximum(values, WIDEST_ROOT**-2))
    coef = prior.mean + gaussian(quadratic, prior, theta)[0].reshape(prior.mean.shape)
    centred = Curvature(quadratic.precision, quadratic.linear, quadratic.squares, quadratic.n)
    return LaplaceFit(prior, centred, theta, root, coef, converged=True, n_steps=0)
