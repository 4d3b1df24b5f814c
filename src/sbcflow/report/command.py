"""What ``sbcflow report`` does: pages of one run or several, and their pictures as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sbcflow.errors import ParamsError
from sbcflow.files import write_text
from sbcflow.report.page import render
from sbcflow.report.write import build, write_figures, write_report


@dataclass(frozen=True)
class Made:
    """What was written of one run: the page, its size, its verdict in a sentence, and pictures."""

    run: Path
    path: Path
    n_bytes: int
    verdict: str
    figures: tuple[Path, ...]

    def plain(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "run": str(self.run),
            "report": str(self.path),
            "bytes": self.n_bytes,
            "verdict": self.verdict,
            "figures": [str(path) for path in self.figures],
        }


def make_reports(folders: Sequence[Path], out: Path | None, figures: Path | None) -> list[Made]:
    """Write the report of each run: into its folder, or one run's to ``out``, the folder left as it is.

    Pictures go to ``figures``; those of several runs each to a folder in it that is named like the run.

    Raises:
        ParamsError: ``out`` with several runs, or two runs of one name with ``figures``.
        ArtifactError: a folder is no evaluation or analysis, or a file is missing or altered.
    """
    names = [folder.resolve().name for folder in folders]
    if out is not None and len(folders) > 1:
        raise ParamsError(f"--out {out}: takes the report of one run, got {len(folders)}; leave it out")
    if figures is not None and len(set(names)) < len(names):
        raise ParamsError(f"--figures {figures}: two runs have one name; report on them one by one")
    places = [figures / name if figures and len(folders) > 1 else figures for name in names]
    return [_make(folder, out, place) for folder, place in zip(folders, places, strict=True)]


def _make(folder: Path, out: Path | None, figures: Path | None) -> Made:
    report = build(folder)
    if out is None:
        path = write_report(report, folder)
    else:
        path = out
        write_text(path, render(report))
    drawn = tuple(write_figures(report, figures)) if figures else ()
    return Made(folder, path, path.stat().st_size, report.verdict, drawn)
