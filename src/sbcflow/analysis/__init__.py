"""Analysis of a real experiment: read, fit, calibrate, write."""
