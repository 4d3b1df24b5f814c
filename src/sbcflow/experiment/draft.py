"""An experiment in the making: everything its journal says so far, in memory.

Each call of a living experiment and each line of a dead one's journal comes through ``apply``, so that both
lead to the same draft.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sbcflow.experiment.dvc.artifacts import Artifact
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.journal import Journal, MetricRow
from sbcflow.experiment.metrics import Series


@dataclass(frozen=True)
class Override:
    """Values set in a params file (a path from DVC's root), by dotted key, and what was allowed of them."""

    file: str
    values: Mapping[str, Any]
    new: bool = False
    change_type: bool = False


@dataclass(frozen=True)
class CodeRule:
    """Which of the worktree's changes are committed: tracked ones or none, and untracked files by path."""

    tracked: bool = True
    include_untracked: tuple[str, ...] = ()


@dataclass
class Draft:
    """What an experiment holds before it is committed.

    Attributes:
        ref: its reference. created: when it began, ISO 8601 in UTC.
        base: the commit whose tree it starts from, the baseline or the checkpoint it was resumed from.
        code_base: the commit that the worktree stood at, None in a bare repository.
        root: DVC's root in Git's tree. folder, metrics_file: where its files go, from DVC's root.
        failed: why it failed; going on after it was resumed takes that back.
        tip: the sha that its reference holds. pending: one that it was about to hold.
    """

    ref: ExperimentRef
    created: str
    base: str
    code_base: str | None
    root: str
    folder: str
    metrics_file: str
    tip: str | None = None
    n_checkpoints: int = 0
    overrides: list[Override] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    code: CodeRule = field(default_factory=CodeRule)
    completed: bool = False
    failed: str | None = None
    resumed: bool = False
    pending: str | None = None

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take in one event of the journal."""
        facts = {key: value for key, value in event.items() if key != "event"}
        match event["event"]:
            case "params":
                self._go_on()
                self.overrides.append(Override(**facts))
            case "artifact":
                self._go_on()
                self.artifacts[facts["path"]] = Artifact(**facts)
            case "code":
                self.code = CodeRule(facts["tracked"], tuple(facts["include_untracked"]))
            case "moving":
                self.pending = facts["sha"]
            case "checkpoint":
                self.tip, self.pending = facts["sha"], None
                self.n_checkpoints += 1
            case "complete":
                self.completed = True
            case "failed":
                self.failed, self.resumed = facts["reason"], False
            case "resume":
                self.resumed = True

    def count(self, name: str, value: float, step: int, stepped: bool) -> None:
        """Take in one logged value of a metric."""
        self._go_on()
        series = self.series.get(name)
        if series is None:
            self.series[name] = Series(value, step, 1, stepped)
            return
        series.value, series.step = value, step
        series.count += 1
        series.stepped |= stepped

    def _go_on(self) -> None:
        if self.resumed:
            self.failed = None


def begin(facts: Mapping[str, Any]) -> Draft:
    """Return the draft that the first event of a journal, ``init``, stands for."""
    names = ("created", "base", "code_base", "root", "folder", "metrics_file", "tip", "n_checkpoints")
    return Draft(ref=ExperimentRef(facts["baseline"], facts["name"]), **{name: facts[name] for name in names})


def replay(journal: Journal) -> Draft:
    """Return the draft that a journal holds."""
    entries = journal.entries()
    first = next(entries)
    assert not isinstance(first, MetricRow)
    draft = begin(first)
    for entry in entries:
        if isinstance(entry, MetricRow):
            step, value, _ = entry.values.split(b"\t")
            draft.count(entry.metric.decode(), _number(value), int(step), entry.stepped)
        else:
            draft.apply(entry)
    return draft


def _number(text: bytes) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)
