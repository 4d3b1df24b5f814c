"""Where a correction holds: its scores by cell, for single visitors, average effects and segments."""
