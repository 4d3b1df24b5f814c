"""Two regressions an arm and a bootstrap, the cheap thing that people do: two_part.py TRIAL.npz DRAWS.npz

Logistic regression of converted, ridge regression of log revenue among converters with the lognormal mean,
scikit-learn's defaults, fitted anew to N_BOOTSTRAP resamples of the visitors.
"""

import sys
import time

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

N_BOOTSTRAP = 200


def mean_revenue(x: NDArray, revenue: NDArray, points: NDArray) -> NDArray:
    """Return the revenue per visitor that two regressions on visitors (x, revenue) expect at points."""
    converted = revenue > 0
    rate = LogisticRegression(max_iter=500).fit(x, converted).predict_proba(points)[:, 1]
    severity = Ridge().fit(x[converted], np.log(revenue[converted]))
    left = np.log(revenue[converted]) - severity.predict(x[converted])
    return rate * np.exp(severity.predict(points) + left.var() / 2)


trial = np.load(sys.argv[1])
x, arm, revenue = StandardScaler().fit_transform(trial["x"]), trial["arm"], trial["revenue"]
points, rng = x[: len(trial["truth"])], np.random.default_rng(1)
started = time.perf_counter()
draws = []
for _ in range(N_BOOTSTRAP):
    control, treated = (rng.choice(np.flatnonzero(arm == k), np.sum(arm == k)) for k in (0, 1))
    draws.append(
        mean_revenue(x[treated], revenue[treated], points)
        - mean_revenue(x[control], revenue[control], points)
    )
np.savez(sys.argv[2], draws=np.stack(draws, axis=1), seconds=time.perf_counter() - started)
