"""Corrections against each other: fitted on one sweep, scored on another, with intervals over fits."""
