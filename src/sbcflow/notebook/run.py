"""What every loaded run has: its folder, its manifest, checked files, and a short look in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from sbcflow.manifest import Manifest, check_files


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A run's folder and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def params(self) -> dict[str, Any]:
        """The settings that the run was made with."""
        params: dict[str, Any] = self.manifest["params"]
        return params

    @property
    def experiment_id(self) -> str:
        """The run's id, which other runs' manifests link to."""
        experiment_id: str = self.manifest["experiment_id"]
        return experiment_id

    def about(self, capability: str) -> dict[str, Any]:
        """Return what the manifest says of one capability, ``calibration`` or ``sbcflow``."""
        content: dict[str, Any] = self.manifest["pytyche"].get(capability, {})
        return content

    def file(self, *names: str) -> Path:
        """Return the path of the last of some files of the run, all checked against the manifest.

        Raises:
            ArtifactError: a file is missing, or is not what the manifest lists.
        """
        check_files(self.path, *names)
        return self.path / names[-1]

    def facts(self) -> Mapping[str, object]:
        """Return the few facts that a notebook shows of the run."""
        return {}

    def __repr__(self) -> str:
        facts = "".join(f", {name}: {value}" for name, value in self.facts().items())
        return f"{type(self).__name__}({str(self.path)!r}{facts})"

    def _repr_html_(self) -> str:
        made = {"made": self.manifest["timestamp_utc"], "commit": self.manifest["git"]["sha"][:7]}
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
            for name, value in {**self.facts(), **made}.items()
        )
        title = f"{type(self).__name__} <b>{escape(str(self.path))}</b>"
        return f"<table><caption>{title}</caption>{rows}</table>"
