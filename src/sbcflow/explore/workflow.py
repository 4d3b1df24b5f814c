"""One call of Snakemake: the exploratory sweep of an experiment, all it says in a log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sbcflow.errors import ArtifactError
from sbcflow.explore.names import log_path, params_path
from sbcflow.explore.plan import PlannedExperiment
from sbcflow.files import write_bytes
from sbcflow.sweep.layout import fit_log_path, job_ids, parse_batch_id, summary_path

SNAKEFILE = Path("workflow", "Snakefile")
TARGET = "exploratory_sweep"
PROGRESS = re.compile(r"\d+ of \d+ fits done")
OURS = re.compile(r"(?:\d[\d-]+ [\d:,]+ )?error: (.+)")
RAISED = re.compile(r"((?:\w+\.)*\w*(?:Error|Exception): .+)")
MOST_FIT_LOGS = 10
GRACE_SECONDS = 60


def check_workflow() -> None:
    """Check that Snakemake will find the workflow.

    Raises:
        ArtifactError: there is none in this folder.
    """
    if not SNAKEFILE.is_file():
        raise ArtifactError(f"{SNAKEFILE}: no such file; run from the project's folder, which holds it")


def run_sweep(planned: PlannedExperiment, jobs: int | None, say: Callable[[str], None]) -> str | None:
    """Run the sweep of an experiment; return why it failed, or None.

    The params file stays: jobs on a cluster read it whenever they start. ``say`` gets the line that each
    fit ends with. An interrupt reaches Snakemake, and is raised when that has ended.
    """
    write_bytes(params_path(planned.name), planned.text)
    with log_path(planned.name).open("w", encoding="utf-8") as stream:
        code = _run(_command(planned, jobs), lambda line: _pass_on(line, stream.write, say))
    return None if code == 0 else _reason(planned) or f"snakemake ended with exit code {code}"


def logs(planned: PlannedExperiment) -> list[Path]:
    """Return the log of an experiment's sweep, and those of the first few fits that were begun and not done.

    On a cluster, what a fit says is in its own log only.
    """
    run_id = planned.sweep.id
    left = {one.index for one in planned.configs if not summary_path(run_id, one.config_id).exists()}
    begun = [fit_log_path(run_id, job) for job in job_ids(run_id) if left & set(parse_batch_id(job).indices)]
    written = [path for path in begun if path.is_file() and path.stat().st_size]
    return [log_path(planned.name), *written[:MOST_FIT_LOGS]]


def last_error(logs: Sequence[str]) -> str | None:
    """Return what logs say of a failure: the last error that sbcflow raised on purpose, or any other."""
    for form in (OURS, RAISED):
        for log in logs:
            found = [match[1] for line in log.splitlines() if (match := form.fullmatch(line.strip()))]
            if found:
                return found[-1]
    return None


def _reason(planned: PlannedExperiment) -> str | None:
    return last_error([path.read_text(encoding="utf-8", errors="replace") for path in logs(planned)])


def _command(planned: PlannedExperiment, jobs: int | None) -> list[str]:
    # Cores limit a workstation, jobs a cluster; without a number, the profile says.
    limits = [] if jobs is None else ["--cores", str(jobs), "--jobs", str(jobs)]
    config = ["--configfile", str(params_path(planned.name))]
    return [sys.executable, "-m", "snakemake", *limits, *config, "--", TARGET]


def _run(command: list[str], take: Callable[[str], None]) -> int:
    """Run a command in a process group of its own, to which interrupts go; return its exit code."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                take(line)
            return process.wait()
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[str]) -> None:
    """End a process group: as Ctrl-C does in a terminal, and by force where that is not enough."""
    for sent in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.communicate(timeout=GRACE_SECONDS)
            return


def _pass_on(line: str, write: Callable[[str], object], say: Callable[[str], None]) -> None:
    write(line)
    if PROGRESS.search(line):
        say(line.strip())
