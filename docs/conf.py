"""Sphinx: Markdown pages, and the public functions from their docstrings. A warning fails `make docs`."""

from __future__ import annotations

import sbcflow

project = "sbcflow"
author = "the sbcflow authors"
version = release = sbcflow.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"sbcflow {release}"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_include_init_with_doc = False
