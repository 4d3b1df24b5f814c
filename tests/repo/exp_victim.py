"""A process that lives the lives of experiments in children, and kills them (``kill -9``) where it is told.

Run with the folder of a repository. It has imported all that an experiment needs, and forks a child for each
life, so that one takes milliseconds. ``Victim`` in test_exp_kill.py talks to it: a line of JSON asks for a
life, and the answer is a line with every word that the child said. A call that returned has said "done".
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from sbcflow.experiment.lifecycle import Experiment

LR, DEPTH = 0.5, 7
Say = Callable[[str, int | str | None], None]
Row = tuple[str, int, float]

# What lies in the repository, as another process sees it, changes by one of these and by nothing else, but
# for empty files that are opened.
CHANGES = frozenset(
    {"write", "pwrite", "ftruncate", "link", "rename", "replace", "unlink", "mkdir", "rmdir"}
    | {"create_blob", "create_blob_fromworkdir", "create_blob_fromiobase", "create_commit"}
)


def life(kind: str) -> tuple[tuple[str, int], ...]:
    """Return the calls of a life, each with how many rows of metrics it logs."""
    begun = (("init", 0), ("set_params", 0))
    if kind == "bursts":
        return (*begun, *[("log_metric", 400)] * 5, ("save", 0))
    n_rows = 40 if kind == "checkpoints" else 2
    logged = (("log_metric", n_rows), ("log_metrics", n_rows))
    n_checkpoints = {"checkpoints": 3, "short": 2, "plain": 0}[kind]
    return (*begun, *(*logged, ("make_checkpoint", 0)) * n_checkpoints, *logged, ("save", 0))


def rows(kind: str) -> Iterator[Row]:
    """Yield the rows of metrics that a life logs, in order; no value comes twice."""
    step = 0
    for call, n_rows in life(kind):
        for _ in range(n_rows // 2 if call == "log_metrics" else n_rows):
            yield "loss", step, step + 0.5
            if call == "log_metrics":
                yield "gain", step, step + 0.25
            step += 1


def live(repo: Path, name: str, kind: str, say: Say) -> None:
    """Live one life; ``say`` is told when each call begins, and what it gave when it is done."""
    to_log = rows(kind)
    experiment = Experiment()
    for call, n_rows in life(kind):
        say("begin", call)
        match call:
            case "init":
                experiment = Experiment.init(repo, name, params={"lr": LR})
            case "set_params":
                experiment.set_params(depth=DEPTH)
            case "log_metric":
                for _ in range(n_rows):
                    metric, step, value = next(to_log)
                    experiment.log_metric(metric, value, step=step)
                    say("row", None)
            case "log_metrics":
                for _ in range(n_rows // 2):
                    both = [next(to_log), next(to_log)]
                    experiment.log_metrics({metric: value for metric, _, value in both}, step=both[0][1])
                    for _ in both:
                        say("row", None)
        given = None
        if call in ("make_checkpoint", "save"):
            given = getattr(experiment, call)().sha
        say("done", given)


def die_at_change(number: int) -> None:
    """Let this process die just before it makes its ``number``-th change to the repository."""
    left = number

    def look(_frame: FrameType, event: str, function: Callable[..., object]) -> None:
        nonlocal left
        if event == "c_call" and function.__name__ in CHANGES:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(look)


def be_born(repo: Path, name: str, kind: str, change: int | None) -> tuple[int, int]:
    """Fork a child that lives; return its id, and where to read what it says."""
    ear, mouth = os.pipe()
    child = os.fork()
    if child:
        os.close(mouth)
        return child, ear
    code = 1
    try:

        def say(word: str, given: int | str | None) -> None:
            profile = sys.getprofile()
            sys.setprofile(None)  # what it says is no change to the repository
            said = "row" if word == "row" else json.dumps([word, given, time.perf_counter()])
            os.write(mouth, f"{said}\n".encode())
            sys.setprofile(profile)

        if change is not None:
            die_at_change(change)
        live(repo, name, kind, say)
        code = 0
    except BaseException:
        sys.setprofile(None)
        sys.excepthook(*sys.exc_info())
    finally:
        sys.setprofile(None)
        sys.stderr.flush()
        os._exit(code)


def watch(child: int, ear: int, call: int, wait: float | None) -> tuple[bytes, int]:
    """Kill the child ``wait`` seconds after its ``call``-th call began; return what it said, and its end."""
    said, deadline = b"", None
    while True:
        if wait is not None and deadline is None and said.count(b'["begin"') > call:
            deadline = time.perf_counter() + wait
        left = None if deadline is None else max(0.0, deadline - time.perf_counter())
        if left == 0 or not select.select([ear], [], [], left)[0]:
            os.kill(child, signal.SIGKILL)
            deadline, wait = None, None
        elif chunk := os.read(ear, 1 << 16):
            said += chunk
        else:
            os.close(ear)
            return said, os.waitpid(child, 0)[1]


def main() -> None:
    """Answer each line of the standard input, until it ends."""
    repo = Path(sys.argv[1])
    live(repo, "warm-up", "short", lambda *_: None)
    for line in sys.stdin:
        asked = json.loads(line)
        child, ear = be_born(repo, asked["name"], asked["kind"], asked["change"])
        said, status = watch(child, ear, asked["call"], asked["wait"])
        print(json.dumps([said.decode(), os.waitstatus_to_exitcode(status)]), flush=True)


if __name__ == "__main__":
    main()
