"""Time and weigh what users wait for: python benchmarks/run.py [--json FILE] [CASE ...]

Each case (see cases.py) runs in a process of its own, one after another, and a Markdown table comes out.
Nothing here is a test: figures depend on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from machine import describe_machine

HERE = Path(__file__).resolve().parent
CACHE = "SBCFLOW_COMPILATION_CACHE"
TIMEOUT = 900
USUAL = ("import_package", "plan", "simulate", "start_up", "fit_small", "fit_large")
ALL = (*USUAL, "fit_nuts")
TITLES = {
    "import_package": "`import sbcflow`",
    "plan": "plan of 50 configs",
    "simulate": "simulate 250,000 visitors",
    "fit_small": "config of 20,000 visitors, compiled",
    "fit_large": "config of 250,000 visitors, compiled",
    "fit_nuts": "config of 20,000 visitors by NUTS, compilation included",
    "cold": "process with one config of 20,000, nothing compiled",
    "warm": "the same, programs in the cache",
}


@dataclass(frozen=True)
class Row:
    """A line of the table: seconds, peak memory of the process in MiB, and what else to know."""

    case: str
    seconds: float
    peak_mib: float
    note: str = ""

    def markdown(self) -> str:
        return f"| {TITLES[self.case]} | {self.seconds:.3g} | {self.peak_mib:.0f} | {self.note} |"


def main() -> None:
    """Run the cases that the command line names, or the usual ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(ALL))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(ALL):
        parser.error(f"no case {', '.join(sorted(unknown))} (cases: {', '.join(ALL)})")
    rows = []
    print(f"{describe_machine()}\n\n| what | seconds | peak MiB | of which |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as cache:
        for case in arguments.cases or USUAL:
            for row in start_up(cache) if case == "start_up" else [measure(case, cache)]:
                print(row.markdown(), flush=True)
                rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps([vars(row) for row in rows], indent=2) + "\n")


def measure(case: str, cache: str) -> Row:
    """Run a case in a process of its own."""
    figures, _ = run_case(case, cache)
    seconds, peak = figures.pop("seconds"), figures.pop("peak_mib")
    note = ", ".join(f"{name.removesuffix('_seconds')} {value:.3g}" for name, value in figures.items())
    return Row(case, seconds, peak, note)


def start_up(cache: str) -> list[Row]:
    """Time a whole process that fits one config, without and with compiled programs in the cache."""
    figures, cold = run_case("job", f"{cache}/start_up")
    again, warm = run_case("job", f"{cache}/start_up")
    return [
        Row("cold", cold, figures["peak_mib"], f"outside the job {cold - figures['seconds']:.3g}"),
        Row(
            "warm",
            warm,
            again["peak_mib"],
            f"outside the job {warm - again['seconds']:.3g}; cold / warm {cold / warm:.2f}",
        ),
    ]


def run_case(case: str, cache: str) -> tuple[dict[str, float], float]:
    """Return the figures that a case prints, and the seconds of its whole process."""
    command = [sys.executable, str(HERE / "cases.py"), case]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    started = time.perf_counter()
    done = subprocess.run(
        command, env=kept | {CACHE: cache}, stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT
    )
    return json.loads(done.stdout.splitlines()[-1]), time.perf_counter() - started


if __name__ == "__main__":
    main()
