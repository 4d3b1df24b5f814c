"""Names of experiments, and the references that hold them: each made and parsed here.

The layout is DVC's: ``refs/exps/<first 2 digits>/<other 38>/<name>`` under the baseline's sha.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

import pygit2

from sbcflow.errors import ExperimentNameError

NAMESPACE = "refs/exps/"
SHA_PATTERN = re.compile(r"[0-9a-f]{40}")
LONGEST_NAME = 200
# What dvc's own commands read as something else than an experiment.
RESERVED = frozenset({"HEAD", "workspace", "baseline"})

ADJECTIVES = (
    "amber ample apt bold brave brief bright brisk calm civil clear crisp deft dense early eager "
    "exact fair fine firm fleet fresh frank glad grand green happy hardy keen kind light lively loyal "
    "lucid mellow mild neat nimble noble plain polar prime proud quick quiet rapid ready rosy round "
    "sharp sleek smart solid spry steady sunny swift tidy vivid wise"
)
NOUNS = (
    "acorn alder aspen badger birch bison brook cedar cliff cloud comet coral crane delta dune eagle "
    "elm ember falcon fern finch fjord fox gale glade grove gull harbor hare hawk hazel heron ibis "
    "inlet iris jay lark larch linden lynx maple marsh meadow mesa moss oak otter owl pine plover "
    "quail raven reef ridge river robin sage swan tern wren"
)


@dataclass(frozen=True)
class ExperimentRef:
    """The reference of an experiment: the full sha of its baseline, and its name."""

    baseline: str
    name: str

    def __str__(self) -> str:
        return f"{NAMESPACE}{self.baseline[:2]}/{self.baseline[2:]}/{self.name}"


def parse_ref(reference: str) -> ExperimentRef | None:
    """Return what a reference stands for; None where it is no experiment's (DVC keeps others beside them)."""
    head, _, rest = reference.removeprefix(NAMESPACE).partition("/")
    tail, _, name = rest.partition("/")
    if not reference.startswith(NAMESPACE) or not SHA_PATTERN.fullmatch(head + tail) or len(head) != 2:
        return None
    return ExperimentRef(head + tail, name) if name and "/" not in name else None


def check_name(name: str) -> str:
    """Return ``name`` where it can name an experiment.

    Raises:
        ExperimentNameError: Git refuses it in a reference, DVC takes it for something else, or it is
            too long to be the name of a file.
    """
    if not isinstance(name, str) or not name:
        raise ExperimentNameError(f"experiment name {name!r}: must be a non-empty string")
    if "/" in name:
        raise ExperimentNameError(
            f"experiment name {name!r}: must not hold '/'; dvc exp list would fail on all"
        )
    if name in RESERVED or name.startswith("-") or SHA_PATTERN.fullmatch(name):
        raise ExperimentNameError(
            f"experiment name {name!r}: dvc would read it as something else; "
            f"not allowed: {', '.join(sorted(RESERVED))}, a leading '-', 40 hex digits"
        )
    if not pygit2.reference_is_valid_name(f"{NAMESPACE}{name}") or not name.isprintable():
        raise ExperimentNameError(
            f"experiment name {name!r}: not a valid Git reference (git check-ref-format): no spaces, "
            "control characters, '..', '@{', any of ~^:?*[\\, leading or ending '.', or ending '.lock'"
        )
    if len(name.encode()) > LONGEST_NAME:
        raise ExperimentNameError(
            f"experiment name {name[:20]!r}...: at most {LONGEST_NAME} bytes, got {len(name.encode())}"
        )
    return name


def generate_name() -> str:
    """Return a readable name, one of 236 million: an adjective, a noun and four hex digits."""
    return f"{secrets.choice(ADJECTIVES.split())}-{secrets.choice(NOUNS.split())}-{secrets.token_hex(2)}"
