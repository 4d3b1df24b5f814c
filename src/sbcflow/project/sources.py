"""What the numbers of a project's runs depend on beside params.yaml, as values that DVC can compare."""

from __future__ import annotations

from typing import Any

import sbcflow
from sbcflow.params import Params
from sbcflow.provenance import numeric_versions
from sbcflow.sweep.own_sources import own_sources
from sbcflow.sweep.sources import source_digests


def project_sources(params: Params) -> dict[str, Any]:
    """Return the package's version, digests of its modules and of own code, and versions of libraries.

    Raises:
        OwnCodeError, ParamsError: code or a file of the user's own that params.yaml names is not there.
    """
    own = [own_sources(params, sweep) for sweep in params.sweeps().values()]
    return {
        "sbcflow": sbcflow.__version__,
        "modules": dict(source_digests()),
        "own": {name: digest for one in own for name, digest in sorted({**one.modules, **one.files}.items())},
        "libraries": {name: v for one in own for name, v in one.libraries.items()} | numeric_versions(),
    }
