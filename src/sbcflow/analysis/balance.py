"""Whether features are alike in every arm, as randomisation makes whatever was known before it."""

from __future__ import annotations

import numpy as np
import scipy.stats

from sbcflow.data import Feature, Float32Array, Trial

# One in a million: among a hundred true covariates a false alarm still has a chance of 1e-4.
SMALLEST_P = 1e-6


def unbalanced(trial: Trial) -> dict[str, float]:
    """Return the features that differ between arms, with the p-value of each under randomisation.

    Such a feature was most likely measured after assignment: an outcome, which adjusting for biases
    the effects. The test is chi-square on levels, and the F test of equal means on numbers. What a
    treatment leaves alone cannot be found this way.
    """
    columns = zip(trial.covariates.features, trial.covariates.values.T, strict=True)
    found = {feature.name: _p_value(feature, values, trial) for feature, values in columns}
    return {name: p for name, p in found.items() if p < SMALLEST_P}


def _p_value(feature: Feature, values: Float32Array, trial: Trial) -> float:
    if feature.kind == "continuous":
        by_arm = [values[trial.arm == k].astype(np.float64) for k in range(trial.n_arms)]
        if min(map(len, by_arm)) < 2:
            return 1.0
        return float(scipy.stats.f_oneway(*by_arm).pvalue)
    counts = np.zeros((trial.n_arms, len(feature.levels) or 2))
    np.add.at(counts, (trial.arm, values.astype(np.intp)), 1)
    return float(scipy.stats.chi2_contingency(counts[:, counts.any(axis=0)]).pvalue)
