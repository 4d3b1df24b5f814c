"""A job of the workflow: what it has to say goes to its log, and in one line to the terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sbcflow.errors import SbcflowError

_LOG = logging.getLogger("sbcflow")


@contextmanager
def logged_job(log_path: str | Path) -> Iterator[None]:
    """Run a job with its warnings and log records in ``log_path``.

    A deliberate error ends the job with its one line on the terminal; any other leaves its traceback
    both there and in the log.
    """
    logging.basicConfig(filename=log_path, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s")
    logging.captureWarnings(True)
    try:
        yield
    except SbcflowError as error:
        _LOG.error("error: %s", error)
        sys.exit(f"error: {error}")
    except Exception:
        _LOG.exception("the job failed")
        raise


def say(line: str) -> None:
    """Put a line on the terminal and in the job's log."""
    _LOG.info(line)
    sys.stderr.write(f"{line}\n")
