#!/bin/sh
# Install the locked libraries and this package; run by Snakemake from the project's root.
set -e
python -m pip install --require-hashes -r requirements.lock
python -m pip install --no-deps --no-build-isolation --editable .
