"""Checks of what a run left behind; they read and never write."""

from sbcflow.validate.findings import Report
from sbcflow.validate.folder import validate

__all__ = ["Report", "validate"]
