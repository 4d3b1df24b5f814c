"""A job of the workflow: what it says goes to its log, and in one line to the terminal; how it is stopped."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sbcflow.errors import SbcflowError
from sbcflow.sweep.layout import RUNS

STOPPING = (signal.SIGTERM, signal.SIGINT)
SIGNAL_EXIT = 128
GRACE_SECONDS = 5.0

_LOG = logging.getLogger("sbcflow")


@contextmanager
def logged_job(log_path: str | Path) -> Iterator[None]:
    """Run a job with its warnings and log records in ``log_path``.

    A deliberate error, or one of the system's (a full disk), ends the job with its one line on the
    terminal; any other leaves its traceback both there and in the log. SIGTERM and SIGINT drop what is
    in flight and end the job with 128 + signal; a file is written whole or not at all, so nothing is lost
    but that.
    """
    logging.basicConfig(filename=log_path, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s")
    logging.captureWarnings(True)
    # JAX tells of each accelerator that it does not find, ArviZ of each library for plots.
    for talkative in ("jax", "arviz"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    _stop_on_signals()
    try:
        yield
    except SbcflowError as error:
        _LOG.error("error: %s", error)
        sys.exit(f"error: {error}")
    except OSError as error:
        _LOG.exception("the job failed")
        sys.exit(f"error: {explain_os_error(error, RUNS)}")
    except Exception:
        _LOG.exception("the job failed")
        raise


def explain_os_error(error: OSError, place: str | Path) -> str:
    """Return in a line what the system refused, and for which file; ``place`` where it does not say."""
    return f"{error.filename or place}: {error.strerror or error}"


def say(line: str) -> None:
    """Put a line on the terminal and in the job's log."""
    _LOG.info(line)
    sys.stderr.write(f"{line}\n")


def _stop_on_signals() -> None:
    """End the process on a signal, and by force where compiled code keeps Python from hearing of it."""
    for number in STOPPING:
        signal.signal(number, _stop)
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_insist, args=(heard,), daemon=True).start()


def _stop(number: int, _: FrameType | None) -> NoReturn:
    # A scheduler or an impatient user may say it again, and cut short what is cleaned up now.
    for again in STOPPING:
        signal.signal(again, signal.SIG_IGN)
    _LOG.error("stopped by %s", signal.Signals(number).name)
    sys.exit(SIGNAL_EXIT + number)


def _insist(heard: int) -> None:
    # The pipe is written to by the handler in C, while Python's own has to wait for its turn.
    while (number := os.read(heard, 1)[0]) not in STOPPING:
        pass
    time.sleep(GRACE_SECONDS)
    os._exit(SIGNAL_EXIT + number)
