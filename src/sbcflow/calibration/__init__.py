"""Corrections of interval coverage: fitted on a train sweep, applied to draws, proved on a test sweep."""
