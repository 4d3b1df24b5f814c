"""Experiments read back from their references, as frames."""
