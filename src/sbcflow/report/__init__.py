"""The report of a run: what an evaluation or an analysis found, as one self-contained page."""
