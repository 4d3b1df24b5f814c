"""Time the experiment store beside DVC's own ways: python benchmarks/experiments.py [--quick]

Everything runs in one process on fresh repositories, so ratios compare like with like; the commands
`dvc exp show` are whole processes, as users run them. Files are synced to the disk of the temporary folder:
name another disk by TMPDIR. Figures are no test: they depend on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from machine import describe_machine

PARAMS = "lr: 0.1  # learning rate\ndepth: 3\nseed: 1\nbatch: 32\ndropout: 0.1\n"
DVC_YAML = """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [lr, depth]
    metrics:
    - metrics.json:
        cache: false
"""
TRAIN = "import json; json.dump({'accuracy': 0.5}, open('metrics.json', 'w'))\n"
FILES_A_FOLDER = 100
USER = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "Ada", "EMAIL": "ada@example.org"}.items()
}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    share = 10 if parser.parse_args().quick else 1
    os.environ |= USER | {"DVC_NO_ANALYTICS": "1"}
    print(f"{describe_machine()}\n\n| what | milliseconds | of which |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        small = make_project(Path(folder) / "small", 50)
        large = make_project(Path(folder) / "large", 10_000 // share)
        ours = saves("save, 50 tracked files", small, 200 // share)
        saves(f"save, {10_000 // share:,} tracked files", large, 50 // share)
        saves("the same, log_code(False)", large, 50 // share, tracked=False)
        whole_lives(small, 200 // share)
        theirs(make_project(Path(folder) / "theirs", 50), ours, share)
        rows(make_project(Path(folder) / "rows", 50), 1_000_000 // share)
        frames(Path(folder), share)


def saves(what: str, repo: Path, times: int, *, tracked: bool = True) -> float:
    """Time saves alone; return their median in seconds."""
    from sbcflow.experiment import Experiment

    seconds, timings = [], []
    for number in range(times):
        experiment = Experiment.init(repo, params={"lr": 0.5 + number / 1000})
        experiment.log_metrics({f"metric {n}": number / (n + 1) for n in range(10)})
        experiment.log_code(tracked)
        started = time.perf_counter()
        timings.append(experiment.save().timings)
        seconds.append(time.perf_counter() - started)
    parts = {name: statistics.median(one[name] for one in timings) for name in ("objects", "sync", "ref")}
    note = ", ".join(f"{name} {part * 1e3:.2f}" for name, part in parts.items())
    return report(what, seconds, note)


def whole_lives(repo: Path, times: int) -> None:
    """Time init, set_params, 10 metrics and save together."""
    from sbcflow.experiment import Experiment

    def life(number: int) -> None:
        experiment = Experiment.init(repo)
        experiment.set_params({"lr": 0.5 + number / 1000})
        for n in range(10):
            experiment.log_metric(f"metric {n}", number / (n + 1))
        experiment.save()

    report("init, set_params, 10 metrics, save", timed(life, times))


def theirs(repo: Path, ours: float, share: int) -> None:
    """Time DVC's and DVCLive's ways to the same."""
    import dvc.api
    from dvclive.live import Live

    def by_dvc(number: int) -> None:
        (repo / "params.yaml").write_text(PARAMS.replace("0.1 ", f"{number / 1000} "), encoding="utf-8")
        (repo / "metrics.json").write_text(f'{{"accuracy": {number}}}', encoding="utf-8")
        dvc.api.exp_save(name=f"dvc-{number}", force=True)

    def by_dvclive(number: int) -> None:
        with Live(save_dvc_exp=True, exp_name=f"live-{number}", report=None) as live:
            for n in range(10):
                live.log_metric(f"metric {n}", number / (n + 1))

    times = max(2, 10 // share)
    with chdir(repo), quiet():
        saved, lived = timed(by_dvc, times), timed(by_dvclive, times)
    for what, seconds in (("dvc.api.exp_save", saved), ("dvclive, save_dvc_exp", lived)):
        report(what, seconds, f"{statistics.median(seconds) / ours:.0f} times our save")


def rows(repo: Path, n_rows: int) -> None:
    """Log many rows, one by one and ten at once, and save them."""
    from sbcflow.experiment import Experiment

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    experiment = Experiment.init(repo)
    logged = timed(lambda _: [experiment.log_metric("loss", 1 / (n + 1), step=n) for n in range(n_rows)], 1)
    report(f"{n_rows:,} rows by log_metric", logged)
    many = {f"metric {n}": float(n) for n in range(10)}
    logged = timed(lambda _: [experiment.log_metrics(many, step=n) for n in range(n_rows // 10)], 1)
    report(f"{n_rows:,} rows by log_metrics, 10 at once", logged)
    saved = timed(lambda _: experiment.save(), 1)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    report("save of both", saved, f"{grown:.0f} MiB more memory in all")


def frames(folder: Path, share: int) -> None:
    """Read many experiments as a frame, and by `dvc exp show`."""
    import pandas  # noqa: F401 (imported here, so that it is in no figure)

    from sbcflow.experiment import Experiment, experiments

    repo = make_project(folder / "frames", 50)
    saved = 0
    for count in (1_000 // share, 10_000 // share):
        while saved < count:
            experiment = Experiment.init(repo, params={"lr": 0.5 + saved / 1000, "seed": saved})
            experiment.log_metrics({f"metric {n}": saved / (n + 1) for n in range(5)})
            experiment.log_code(False)
            experiment.save()
            saved += 1
        seconds = timed(lambda _: experiments(repo), 5)
        assert len(experiments(repo)) == count
        report(f"frame of {count:,}", seconds)
        if count <= 1_000:
            mine = statistics.median(seconds)
            for temperature in ("nothing", "the first one's results"):
                shown = timed(lambda _: show(repo), 1)
                report(
                    f"dvc exp show of {count:,}, {temperature} cached", shown, f"{shown[0] / mine:.0f} times"
                )


def show(repo: Path) -> None:
    """Run `dvc exp show` as a process."""
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json"]
    subprocess.run(command, cwd=repo, stdout=subprocess.DEVNULL, check=True)


def make_project(path: Path, n_files: int) -> Path:
    """Make a Git and DVC repository with ``n_files`` tracked files, 100 a folder."""
    written = {"params.yaml": PARAMS, "dvc.yaml": DVC_YAML, "train.py": TRAIN, ".dvc/config": ""}
    written |= {".dvc/.gitignore": "/tmp\n/cache\n", "metrics.json": "{}\n"}
    for number in range(n_files - len(written)):
        written[f"folder{number // FILES_A_FOLDER}/file{number}.txt"] = f"{number}\n"
    for name, text in written.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "baseline"]):
        subprocess.run(["git", *words], cwd=path, check=True)
    return path


def timed(call: Callable[[int], object], times: int) -> list[float]:
    """Return the seconds of each of some calls."""
    seconds = []
    for number in range(times):
        started = time.perf_counter()
        call(number)
        seconds.append(time.perf_counter() - started)
    return seconds


def report(what: str, seconds: list[float], note: str = "") -> float:
    """Print a line of the table; return the median in seconds."""
    median = statistics.median(seconds)
    spread = f"max {max(seconds) * 1e3:.3g} of {len(seconds)}" if len(seconds) > 1 else ""
    print(f"| {what} | {median * 1e3:.3g} | {'; '.join(filter(None, (note, spread)))} |", flush=True)
    return median


@contextmanager
def quiet() -> Iterator[None]:
    """Let DVC's own messages go nowhere."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        kept = os.dup(1), os.dup(2)
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            for descriptor, former in zip((1, 2), kept, strict=True):
                os.dup2(former, descriptor)
                os.close(former)


if __name__ == "__main__":
    main()
