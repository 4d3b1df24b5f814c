"""What a project takes from this package beside its code: the workflow, the values to start from."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = PACKAGE / "assets"
CHECKOUT = PACKAGE.parents[1]


def asset(name: str) -> Path:
    """Return where ``workflow``, ``config`` or ``params.yaml`` is: in the installed package, or a checkout.

    Raises:
        FileNotFoundError: it is in neither, so the package is not whole.
    """
    for root in (INSTALLED, CHECKOUT):
        if (path := root / name).exists():
            return path
    raise FileNotFoundError(f"{name}: is neither in {INSTALLED} nor in {CHECKOUT}; install sbcflow again")


# What a project's workflow/Snakefile includes.
SNAKEFILE = str(asset("workflow") / "Snakefile")
