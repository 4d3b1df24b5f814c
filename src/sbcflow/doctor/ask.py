"""What another command answers, and why it does not."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What a command printed, or in ``failure`` why it did not answer: its own last words, if it had any."""

    text: str = ""
    failure: str = ""


def ask(*command: str) -> Answer:
    """Run a command that only looks, and return its answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except FileNotFoundError:
        return Answer(failure=f"there is no {command[0]}")
    except subprocess.TimeoutExpired:
        return Answer(failure=f"{command[0]} did not answer in {ANSWER_SECONDS:.0f} s")
    except OSError as error:
        return Answer(failure=f"{command[0]}: {error.strerror}")
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        return Answer(failure=words[-1])
    return Answer(text=done.stdout.strip())
