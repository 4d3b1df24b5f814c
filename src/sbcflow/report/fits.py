"""What a report says of single fits, and of where everything came from."""

from __future__ import annotations

from functools import partial

import pandas as pd

from sbcflow import plots
from sbcflow.manifest import Manifest
from sbcflow.report.runs import Lineage, Run, Sweep
from sbcflow.report.value import Column, Picture, Section, Step, Table, number

SLOW = 3.0
SHORT_SHA = 10
FIT_COLUMNS = (
    Column("sweep", "sweep", "text"),
    Column("config_id", "config", "code"),
    Column("template", "template", "text"),
    Column("n_visitors", "visitors", "count"),
    Column("diagnostics.conversion_rate", "conversion rate", "percent"),
    Column("wall_seconds", "seconds"),
    Column("remark", "remark", "text"),
    Column("diagnostics.khat", "k-hat"),
    Column("metrics.coverage_90", "raw 90% covers", "percent"),
    Column("metrics.rmse", "RMSE"),
    Column("metrics.mean_width_90", "raw 90% width"),
)


def fits_section(lineage: Lineage) -> Section:
    """Return the section on slow, unconverged and escalated fits."""
    fits = _all_fits(lineage)
    seconds = fits["wall_seconds"]
    counts = {
        word: int(fits["remark"].str.contains(word).sum()) for word in ("slow", "not converged", "NUTS")
    }
    told = f"All {len(fits)} fits converged"
    if counts["not converged"]:
        told = (
            f"Of {len(fits)} fits {counts['not converged']} did not converge, left out of coverage and scores"
        )
    sentence = (
        f"{told}; {counts['NUTS']} went to NUTS, and {counts['slow']} took more than {SLOW:g} times the "
        f"median of {number(seconds.median())} seconds. The slowest took {number(seconds.max())}."
    )
    picture = Picture(
        "fit-times",
        "Seconds a fit",
        f"Points of the seconds of {len(fits)} fits, shortest first, from {number(seconds.min())} to "
        f"{number(seconds.max())}; {counts['NUTS']} marked as gone to NUTS, {counts['not converged']} as "
        "not converged.",
        "A fit whose Gaussian approximation fails its check (k-hat over the limit) is done again by NUTS, "
        "which takes longer. Seconds depend on the machine; nothing else here does.",
        partial(plots.plot_times, fits),
    )
    columns = tuple(column for column in FIT_COLUMNS if column.key in fits)
    table = Table.of("fits", "All fits, slowest first", columns, fits)
    return Section("fits", "Fits", sentence, (picture,), (table,))


def _all_fits(lineage: Lineage) -> pd.DataFrame:
    parts = [
        sweep.fits.assign(sweep=kind) for kind, sweep in (("train", lineage.train), ("test", lineage.test))
    ]
    fits = pd.concat(parts, ignore_index=True)
    fits = fits.assign(remark=_remarks(fits))
    return fits.sort_values("wall_seconds", ascending=False, kind="stable", ignore_index=True)


def _remarks(fits: pd.DataFrame) -> list[str]:
    slow = fits["wall_seconds"] > SLOW * fits["wall_seconds"].median()
    failed, escalated = (
        ~fits["diagnostics.converged"].astype(bool),
        fits["diagnostics.escalated"].astype(bool),
    )
    marks = zip(failed, escalated, slow, strict=True)
    words = ("not converged", "went to NUTS", "slow")
    return [", ".join(word for word, is_so in zip(words, mark, strict=True) if is_so) for mark in marks]


def lineage_section(lineage: Lineage) -> Section:
    """Return the section on the runs, with the proof that no test experiment was trained on."""
    train, test = lineage.train, lineage.test
    sentence = _disjointness(train, test)
    runs = {
        "Train sweep": train.run,
        "Corrections": lineage.corrections_run,
        "Test sweep": test.run,
        "Evaluation": lineage.evaluation,
    }
    steps = tuple(Step(title, _facts(run)) for title, run in runs.items())
    return Section(
        "lineage",
        "Where it comes from",
        sentence,
        tables=(_run_table(runs), _seed_table(train, test)),
        steps=steps,
    )


def _disjointness(train: Sweep, test: Sweep) -> str:
    n_shared = len(set(train.fits["config_seed"]) & set(test.fits["config_seed"]))
    counts = f"{len(train.fits)} train and {len(test.fits)} test experiments"
    if n_shared or not (train.seeds_are_its_own() and test.seeds_are_its_own()):
        return (
            f"Not proved: of {counts}, {n_shared} share a seed, or a seed is none that the master seed makes."
        )
    return (
        f"The correction was proved on experiments that it had not seen: {counts} share no seed, and all of "
        "their seeds are, computed again here, those that the two master seeds make."
    )


def _facts(run: Run) -> tuple[tuple[str, str], ...]:
    return (
        ("run", run.name),
        ("id", run.id),
        ("commit", commit_of(run.manifest)),
        ("seed", str(run.manifest["data_provenance"]["seed"])),
        ("made", run.manifest["timestamp_utc"]),
    )


def commit_of(manifest: Manifest) -> str:
    """Return the commit that made a run, short, and whether there were changes that it does not hold."""
    git = manifest["git"]
    return git["sha"][:SHORT_SHA] + (" with uncommitted changes" if git["dirty"] else "")


def _run_table(runs: dict[str, Run]) -> Table:
    columns = (
        Column("step", "step", "text"),
        Column("run", "run", "code"),
        Column("experiment_id", "experiment id", "code"),
        Column("commit", "commit", "code"),
        Column("uncommitted_changes", "uncommitted changes", "flag"),
        Column("seed", "seed", "code"),
        Column("n_files", "files listed", "count"),
        Column("made", "made", "code"),
    )
    rows = tuple(
        (
            title,
            run.name,
            run.id,
            run.manifest["git"]["sha"],
            bool(run.manifest["git"]["dirty"]),
            str(run.manifest["data_provenance"]["seed"]),
            sum(name != "report.html" for name in run.about["files"]),
            run.manifest["timestamp_utc"],
        )
        for title, run in runs.items()
    )
    return Table("lineage", "The runs, each with a manifest that lists its files by SHA-256", columns, rows)


def _seed_table(train: Sweep, test: Sweep) -> Table:
    columns = (
        Column("sweep", "sweep", "text"),
        Column("config_id", "config", "code"),
        Column("config_seed", "seed", "code"),
        Column("in_other_sweep", "in the other sweep", "flag"),
    )
    pairs = (("train", train, test), ("test", test, train))
    parts = [
        own.fits[["config_id", "config_seed"]].assign(
            sweep=kind, in_other_sweep=own.fits["config_seed"].isin(other.fits["config_seed"])
        )
        for kind, own, other in pairs
    ]
    return Table.of("seeds", "Every seed, and whether the other sweep has it", columns, pd.concat(parts))
