"""Params files: values set in them, comments and order kept."""
