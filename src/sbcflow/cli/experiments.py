"""``sbcflow exp``: the lifecycle of experiments for scripts that are not Python, one call a command.

Between two commands an experiment lives in its journal: each command resumes it, makes its one call and lets
go of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sbcflow.cli.help import example
from sbcflow.cli.shared import Json, echo
from sbcflow.errors import MetricError

if TYPE_CHECKING:
    import pandas as pd

    from sbcflow.experiment import Experiment
    from sbcflow.experiment.persist import Saved
    from sbcflow.experiment.remote import Transferred

app = typer.Typer(help="Experiments as Git references: begin, log, save, compare.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The experiment.")]
Repo = Annotated[Path, typer.Option("--repo", metavar="DIR", help="A folder in the Git repository.")]
Baseline = Annotated[str | None, typer.Option("--baseline", metavar="REV", help="Where a name has several.")]
Message = Annotated[str | None, typer.Option("--message", "-m", metavar="TEXT", help="The commit's message.")]
Values = Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="Values, as in YAML.")]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="EXPR", help="As 'params.lr > 0.1 and metrics.accuracy >= 0.9'."),
]
Remote = Annotated[str, typer.Argument(metavar="REMOTE", help="A Git remote.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="By default all.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what has another history there.")]
HERE = Path()


@app.command("init", epilog=example("sbcflow exp init wider --set model.severity.shift_scale=0.5"))
def init_experiment(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="By default a readable one.")] = None,
    params: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A param to set at once.")
    ] = None,
    baseline: Annotated[str, typer.Option("--baseline", metavar="REV", help="What it starts from.")] = "HEAD",
    repo: Repo = HERE,
    as_json: Json = False,
) -> None:
    """Begin an experiment; prints its name."""
    from sbcflow.experiment import Experiment
    from sbcflow.experiment.params.overrides import parse_assignments

    experiment = Experiment.init(repo, name, baseline, parse_assignments(params or ()))
    experiment.close()
    _show(experiment, as_json, experiment.name)


@app.command("set", epilog=example("sbcflow exp set wider inference.n_draws=4000"))
def set_params(
    name: Name,
    values: Values,
    file: Annotated[str, typer.Option("--file", metavar="FILE", help="The params file.")] = "params.yaml",
    new: Annotated[bool, typer.Option("--new", help="Add keys that the file lacks.")] = False,
    change_type: Annotated[bool, typer.Option("--change-type", help="Let a value's type change.")] = False,
    repo: Repo = HERE,
    baseline: Baseline = None,
    as_json: Json = False,
) -> None:
    """Set params."""
    with _resumed(name, repo, baseline, as_json) as experiment:
        experiment.set_params(*values, file=file, new=new, change_type=change_type)


@app.command("log", epilog=example("sbcflow exp log wider coverage=0.91 width=3.2 --step 1"))
def log_metrics(
    name: Name,
    values: Values,
    step: Annotated[int | None, typer.Option("--step", metavar="N", help="By default the next.")] = None,
    allow_nan: Annotated[bool, typer.Option("--allow-nan", help="Take NaN and infinities too.")] = False,
    repo: Repo = HERE,
    baseline: Baseline = None,
    as_json: Json = False,
) -> None:
    """Log metrics."""
    with _resumed(name, repo, baseline, as_json) as experiment:
        experiment.log_metrics(dict(map(_metric, values)), step, allow_nan=allow_nan)


@app.command("artifact", epilog=example("sbcflow exp artifact wider runs/pilot-corrections"))
def log_artifact(
    name: Name,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file or a folder.")],
    under: Annotated[
        str | None, typer.Option("--as", metavar="PATH", help="Where it belongs in the project.")
    ] = None,
    repo: Repo = HERE,
    baseline: Baseline = None,
    as_json: Json = False,
) -> None:
    """Add a file or folder as data: content to DVC's cache, a reference into the commit."""
    with _resumed(name, repo, baseline, as_json) as experiment:
        experiment.log_artifact(path.resolve(), under)


@app.command("code", epilog=example("sbcflow exp code wider --include-untracked notes.md"))
def log_code(
    name: Name,
    include_untracked: Annotated[
        list[Path] | None, typer.Option("--include-untracked", metavar="FILE", help="Another file.")
    ] = None,
    tracked: Annotated[bool, typer.Option(help="Whether changes of tracked files are committed.")] = True,
    repo: Repo = HERE,
    baseline: Baseline = None,
    as_json: Json = False,
) -> None:
    """Say which of the worktree's changes are committed; by default those of tracked files."""
    with _resumed(name, repo, baseline, as_json) as experiment:
        paths = [path.resolve() for path in include_untracked or ()]
        experiment.log_code(tracked, include_untracked=paths)


@app.command(epilog=example("sbcflow exp checkpoint wider -m 'half way'"))
def checkpoint(
    name: Name, message: Message = None, repo: Repo = HERE, baseline: Baseline = None, as_json: Json = False
) -> None:
    """Commit an experiment as it stands, and go on."""
    with _resumed(name, repo, baseline, as_json=None) as experiment:
        _show_saved(experiment.make_checkpoint(message), as_json)


@app.command(epilog=example("sbcflow exp complete wider"))
def complete(name: Name, repo: Repo = HERE, baseline: Baseline = None, as_json: Json = False) -> None:
    """Freeze an experiment: from here on it is saved or discarded."""
    with _resumed(name, repo, baseline, as_json) as experiment:
        experiment.complete()


@app.command(epilog=example("sbcflow exp resume wider"))
def resume(name: Name, repo: Repo = HERE, baseline: Baseline = None, as_json: Json = False) -> None:
    """Take up an experiment that a process left, or its last checkpoint; shows what it holds."""
    with _resumed(name, repo, baseline, as_json):
        pass


@app.command(epilog=example("sbcflow exp save wider"))
def save(
    name: Name,
    message: Message = None,
    failed: Annotated[
        str | None, typer.Option("--failed", metavar="REASON", help="Record it as failed.")
    ] = None,
    repo: Repo = HERE,
    baseline: Baseline = None,
    as_json: Json = False,
) -> None:
    """Commit an experiment for good; again, nothing happens."""
    with _resumed(name, repo, baseline, as_json=None) as experiment:
        if failed is not None:
            experiment.fail(failed)
        _show_saved(experiment.save(message), as_json)


@app.command(epilog=example("sbcflow exp discard wider"))
def discard(name: Name, repo: Repo = HERE, baseline: Baseline = None, as_json: Json = False) -> None:
    """Drop an experiment that is not saved, and its checkpoints."""
    with _resumed(name, repo, baseline, as_json) as experiment:
        experiment.discard()


@app.command("list", epilog=example("sbcflow exp list --where 'metrics.coverage >= 0.9'"))
def list_experiments(
    baseline: Annotated[str | None, typer.Option("--baseline", metavar="REV", help="Only its own.")] = None,
    where: Where = None,
    repo: Repo = HERE,
    as_json: Json = False,
) -> None:
    """List experiments with their params and metrics, those that are not saved yet among them."""
    from sbcflow.experiment import experiments

    frame = experiments(repo, baseline, where, unsaved=True)
    _show_frame(frame if as_json else _for_people(frame), as_json)


@app.command(epilog=example("sbcflow exp show wider"))
def show(name: Name, repo: Repo = HERE, baseline: Baseline = None, as_json: Json = False) -> None:
    """Show one experiment."""
    from sbcflow.experiment import experiments
    from sbcflow.experiment.git.store import Store
    from sbcflow.experiment.restore import locate

    ref = locate(Store(repo), name, baseline)
    frame = experiments(repo, ref.baseline, unsaved=True).loc[[ref.name]].dropna(axis="columns")
    _show_frame(frame if as_json else frame.T, as_json)


@app.command(epilog=example("sbcflow exp compare wider HEAD"))
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="An experiment, or a revision.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    repo: Repo = HERE,
    as_json: Json = False,
) -> None:
    """Show which params and metrics of two experiments, or revisions, differ."""
    from sbcflow.experiment import compare as compare_experiments

    _show_frame(compare_experiments(first, second, repo), as_json)


@app.command(epilog=example("sbcflow exp best coverage --mode max"))
def best(
    metric: Annotated[str, typer.Argument(metavar="METRIC")],
    mode: Annotated[str, typer.Option("--mode", metavar="max|min")] = "max",
    baseline: Annotated[str | None, typer.Option("--baseline", metavar="REV", help="Only its own.")] = None,
    where: Where = None,
    repo: Repo = HERE,
    as_json: Json = False,
) -> None:
    """Show the experiment with the largest, or smallest, value of a metric."""
    from sbcflow.experiment import best as best_experiment

    row = best_experiment(metric, mode, repo, baseline, where).dropna()
    frame = row.to_frame().T.rename_axis("name")
    _show_frame(frame if as_json else frame.T, as_json)


@app.command(epilog=example("sbcflow exp push origin wider"))
def push(
    remote: Remote = "origin",
    names: Names = None,
    force: Force = False,
    repo: Repo = HERE,
    as_json: Json = False,
) -> None:
    """Send experiments, and the data they refer to, to the remotes of Git and DVC."""
    from sbcflow.experiment import push as push_experiments

    _show_moved(push_experiments(remote, names, repo, force=force), as_json)


@app.command(epilog=example("sbcflow exp pull origin"))
def pull(
    remote: Remote = "origin",
    names: Names = None,
    force: Force = False,
    repo: Repo = HERE,
    as_json: Json = False,
) -> None:
    """Fetch experiments, and the data they refer to; the worktree stays as it is."""
    from sbcflow.experiment import pull as pull_experiments

    _show_moved(pull_experiments(remote, names, repo, force=force), as_json)


@app.command(epilog=example("sbcflow exp remove wider"))
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The experiments.")],
    repo: Repo = HERE,
    baseline: Baseline = None,
    as_json: Json = False,
) -> None:
    """Remove experiments; their commits stay in Git until it collects garbage."""
    from sbcflow.experiment import remove as remove_experiment
    from sbcflow.experiment.frames.find import find
    from sbcflow.experiment.git.store import Store

    store = Store(repo)
    for name in names:
        find(store, name, baseline)  # all of them, before any is removed
    for name in names:
        remove_experiment(name, repo, baseline)
    _show_names(names, as_json)


@app.command(epilog=example("sbcflow exp rename wider widest"))
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    repo: Repo = HERE,
    baseline: Baseline = None,
    as_json: Json = False,
) -> None:
    """Give an experiment another name."""
    from sbcflow.experiment import rename as rename_experiment

    rename_experiment(name, new, repo, baseline)
    _show_names([new], as_json)


@contextmanager
def _resumed(name: str, repo: Path, baseline: str | None, as_json: bool | None) -> Iterator[Experiment]:
    """Yield an experiment for one call, let go of it, and show it (``as_json=None``: the caller does)."""
    from sbcflow.experiment import Experiment

    experiment = Experiment.resume(name, repo, baseline)
    try:
        yield experiment
    finally:
        experiment.close()
    if as_json is not None:
        _show(experiment, as_json, f"{experiment.name}: {experiment.state}")


def _metric(word: str) -> tuple[str, float]:
    name, _, value = word.partition("=")
    try:
        return name, float(value) if any(mark in value.lower() for mark in ".en") else int(value)
    except ValueError:
        raise MetricError(f"{word!r}: must be NAME=NUMBER") from None


def _show(experiment: Experiment, as_json: bool, line: str) -> None:
    facts = {
        "name": experiment.name,
        "state": str(experiment.state),
        "failed": experiment.failed,
        "params": experiment.params,
        "metrics": experiment.metrics,
    }
    echo(facts, line, as_json)


def _show_saved(saved: Saved, as_json: bool) -> None:
    facts = {"name": saved.name, "ref": saved.ref, "sha": saved.sha, "timings": dict(saved.timings)}
    echo(facts, f"{saved.name}: {saved.sha[:7]} ({saved.ref})", as_json)


def _show_names(names: Iterable[str], as_json: bool) -> None:
    echo(list(names), "\n".join(names), as_json)


def _show_moved(moved: Transferred, as_json: bool) -> None:
    lines = (f"experiments: {len(moved.names)}; data files: {moved.data}", *moved.names)
    echo({"names": moved.names, "data": moved.data, "note": moved.note}, "\n".join(lines), as_json)
    if moved.note is not None and not as_json:
        typer.echo(f"note: {moved.note}", err=True)


def _for_people(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what fits a line: no authors or full shas, no empty column, no param that never differs."""
    short = frame.assign(baseline=frame["baseline"].str[:7], time=frame["time"].dt.strftime("%Y-%m-%d %H:%M"))
    params = [name for name in short if str(name).startswith("params.")]
    same = [name for name in params if len(short) > 1 and short[name].map(str).nunique() == 1]
    return short.drop(columns=["sha", "parent", "author", *same]).dropna(axis="columns", how="all")


def _show_frame(frame: pd.DataFrame, as_json: bool) -> None:
    text = "none" if frame.empty else frame.rename_axis(None).to_string(na_rep="-")
    echo([_plain(row) for row in frame.reset_index().to_dict("records")] if as_json else None, text, as_json)


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row as JSON has it: null for what is missing, times in ISO 8601."""
    from sbcflow.experiment.frames.where import is_missing

    present = {str(name): value for name, value in row.items() if not is_missing(value)}
    dates = {name: value.isoformat() for name, value in present.items() if isinstance(value, date)}
    return {**{str(name): None for name in row}, **present, **dates}
