"""Experiments of several repositories side by side: python across.py METRIC REPO REPO... (less is better)."""

from __future__ import annotations

import sys

from sbcflow.experiment import Experiments

metric, *repos = sys.argv[1:]
every = Experiments(repos)
print(f"{len(every)} experiments in {len(repos)} repositories")

column = f"metrics.{metric}"
frame = every.frame(where={"state": "Persisted"})
print(frame.groupby("repo")[column].describe()[["count", "min", "max"]])

# The best one of each of the first two, by repository and name: both may use the same names.
first, second = (every.best(metric, "min", where={"repo": repo}) for repo in repos[:2])
print(every.compare((first["repo"], first.name), (second["repo"], second.name)))

winner = every.best(metric, "min")
print(f"best: {winner.name} of {winner['repo']}, {metric} {winner[column]:.4f}")
