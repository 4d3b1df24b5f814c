"""Integration over theta: weighted points of its posterior by adaptive multiple importance sampling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from sbcflow.data import FloatArray

BATCH = 64
MAX_BATCHES = 5
WANTED_POINTS = 16.0
DEGREES_OF_FREEDOM = 7.0


@dataclass(frozen=True)
class ThetaPoints:
    """Points of theta (P, T) and the log of their normalised weights (P,)."""

    points: FloatArray
    log_weights: FloatArray

    @property
    def effective_number(self) -> float:
        """The effective number of points (Kish 1965), in 1..P."""
        return float(np.exp(-logsumexp(2 * self.log_weights)))


def integrate(
    log_density: Callable[[FloatArray], float],
    mode: FloatArray,
    root: FloatArray,
    rng: np.random.Generator,
) -> ThetaPoints:
    """Return points that stand for the density of theta, at most BATCH x MAX_BATCHES of them.

    Cornuet, Marin, Mira and Robert (2012): every batch comes from a multivariate t with the weighted
    moments of those before, and all points are weighted anew by the mixture of all proposals, so that
    one bad batch is forgotten. The first proposal has the Gaussian approximation's moments.

    Args:
        log_density: of theta (T,), up to a constant.
        mode: where the first proposal is centred, (T,).
        root: root (T, T) of the first proposal's covariance.
        rng: the stream to draw from.
    """
    proposals = [Proposal.of(mode, root @ root.T)]
    points = np.empty((0, len(mode)))
    targets = np.empty(0)
    for _ in range(MAX_BATCHES):
        batch = proposals[-1].draw(BATCH, rng)
        points = np.concatenate([points, batch])
        targets = np.concatenate([targets, [log_density(point) for point in batch]])
        mixture = logsumexp([proposal.log_density(points) for proposal in proposals], axis=0)
        log_weights = targets - mixture
        found = ThetaPoints(points, log_weights - logsumexp(log_weights))
        if found.effective_number >= WANTED_POINTS:
            break
        proposals.append(_adapted(found, mode, root))
    return found


@dataclass(frozen=True)
class Proposal:
    """A multivariate t: centre (T,) and root (T, T) of its scale matrix."""

    centre: FloatArray
    root: FloatArray

    @classmethod
    def of(cls, centre: FloatArray, covariance: FloatArray) -> Proposal:
        """Return the proposal with these moments."""
        shape = covariance * (DEGREES_OF_FREEDOM - 2) / DEGREES_OF_FREEDOM
        return cls(centre, np.asarray(np.linalg.cholesky(shape), dtype=np.float64))

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Return ``n`` draws (n, T)."""
        normal = rng.standard_normal((n, len(self.centre)))
        spread = np.sqrt(DEGREES_OF_FREEDOM / rng.chisquare(DEGREES_OF_FREEDOM, n))
        return self.centre + spread[:, None] * (normal @ self.root.T)

    def log_density(self, points: FloatArray) -> FloatArray:
        """Return the log density (n,) at points (n, T), up to a constant that all proposals share."""
        whitened = np.linalg.solve(self.root, (points - self.centre).T)
        power = (DEGREES_OF_FREEDOM + len(self.centre)) / 2
        tails = power * np.log1p(np.sum(whitened**2, axis=0) / DEGREES_OF_FREEDOM)
        return -tails - np.sum(np.log(np.diag(self.root)))


def _adapted(found: ThetaPoints, mode: FloatArray, root: FloatArray) -> Proposal:
    """The weighted moments, held towards the first proposal as far as few points tell of them."""
    weights = np.exp(found.log_weights)
    centre = weights @ found.points
    apart = found.points - centre
    trust = found.effective_number / (found.effective_number + 2 * len(mode))
    covariance = trust * (apart.T * weights) @ apart + (1 - trust) * root @ root.T
    return Proposal.of(trust * centre + (1 - trust) * mode, covariance)
