"""Calibrated intervals for treatment effects of online experiments."""

__version__ = "0.1.0"
