"""A fit job fits what its batch misses, goes on when one fails, and keeps what it wrote when stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sbcflow.errors import ArtifactError, EstimationError
from sbcflow.params import Params, SweepKind, parse
from sbcflow.sweep import fit_job
from sbcflow.sweep.batch import Batch, plan_batches
from sbcflow.sweep.fit_job import fit_batch
from sbcflow.sweep.job_record import read_job_record
from sbcflow.sweep.layout import summary_path
from sbcflow.sweep.plan import plan_config

ROOT = Path(__file__).parents[2]
RECORD = Path("logs/record.json")
SUMMARY = {
    "timings": {"wall_seconds": 2.0},
    "diagnostics": {"khat": 0.3},
    "metrics": {"coverage_90": 0.9},
}


def _params() -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["train_sweep"].update(n_configs=3, scales=[500, 2000])
    return parse(values)


PARAMS = _params()
BATCH, OTHER = plan_batches(PARAMS, "train", 4)
IDS = [one.config_id for one in BATCH.configs]


class Fits:
    """Stands in for ``fit_config``: writes a summary, or does what is asked for at an index."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.instead: dict[int, BaseException] = {}

    def __call__(self, params: Params, kind: SweepKind, index: int) -> Path:
        assert read_job_record(RECORD).fitting == plan_config(params, kind, index).config_id
        self.begun.append(index)
        if index in self.instead:
            raise self.instead[index]
        return _write(index)


class Programs:
    """Stands in for the cache of compiled programs: notes what is compiled alone."""

    def __init__(self) -> None:
        self.named: list[str] = []

    @contextmanager
    def first(self, programs: str) -> Iterator[None]:
        self.named.append(programs)
        yield


def _write(index: int) -> Path:
    path = summary_path("pilot-train", plan_config(PARAMS, "train", index).config_id)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(SUMMARY))
    return path


def _forget(batch: Batch) -> None:
    for one in batch.configs:
        shutil.rmtree(summary_path("pilot-train", one.config_id).parent)


@pytest.fixture
def fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fits:
    monkeypatch.chdir(tmp_path)
    stand_in = Fits()
    monkeypatch.setattr(fit_job, "fit_config", stand_in)
    return stand_in


def _fit(batch: Batch = BATCH, programs: Any = None) -> None:
    fit_batch(PARAMS, "train", batch.batch_id, RECORD, programs)


def test_every_config_is_fitted_in_order_and_said(fits: Fits, capsys: pytest.CaptureFixture[str]) -> None:
    _fit()
    assert fits.begun == [0, 1, 2, 3]
    found = read_job_record(RECORD)
    assert (found.state, found.to_fit, found.fitted, found.failed) == ("done", tuple(IDS), tuple(IDS), {})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"pilot-train {one}" for one in IDS]
    assert ["1 of 6 fits done" in lines[0], "4 of 6 fits done" in lines[3]] == [True, True]


def test_what_has_a_summary_is_not_fitted_again(fits: Fits) -> None:
    kept = _write(1)
    before = kept.stat()
    _fit()
    assert fits.begun == [0, 2, 3]
    assert kept.stat() == before
    assert read_job_record(RECORD).to_fit == (IDS[0], IDS[2], IDS[3])


def test_a_batch_that_misses_nothing_is_done(fits: Fits) -> None:
    for index in range(4):
        _write(index)
    _fit()
    assert fits.begun == []
    assert (read_job_record(RECORD).state, read_job_record(RECORD).to_fit) == ("done", ())


def test_other_batches_are_left_alone(fits: Fits) -> None:
    _fit(OTHER)
    assert fits.begun == [4, 5]


def test_a_fit_that_fails_stops_no_other_and_each_is_named(
    fits: Fits, caplog: pytest.LogCaptureFixture
) -> None:
    fits.instead = {0: EstimationError("no purchase\nin arm 2"), 2: ZeroDivisionError("division by zero")}
    with pytest.raises(EstimationError) as caught:
        _fit()
    assert str(caught.value) == (
        f"2 of 4 fits failed: {IDS[0]}: no purchase in arm 2; {IDS[2]}: ZeroDivisionError: division by zero"
    )
    assert fits.begun == [0, 1, 2, 3]
    assert [one.config_id for one in BATCH.missing()] == [IDS[0], IDS[2]]
    found = read_job_record(RECORD)
    assert (found.state, found.fitting, found.fitted) == ("failed", None, (IDS[1], IDS[3]))
    assert found.failed == {
        IDS[0]: f"{IDS[0]}: no purchase in arm 2",
        IDS[2]: f"{IDS[2]}: ZeroDivisionError: division by zero",
    }
    # An error that nobody meant leaves its traceback in the log; a deliberate one is told in its line.
    traced = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert traced == [ZeroDivisionError]


@pytest.mark.parametrize("stop", [SystemExit(143), KeyboardInterrupt()])
def test_what_was_written_stays_when_the_job_is_stopped(fits: Fits, stop: BaseException) -> None:
    fits.instead = {2: stop}
    with pytest.raises(type(stop)):
        _fit()
    assert fits.begun == [0, 1, 2]
    assert [one.config_id for one in BATCH.missing()] == IDS[2:]
    found = read_job_record(RECORD)
    assert (found.state, found.fitting, found.fitted) == ("stopped", IDS[2], tuple(IDS[:2]))
    fits.instead = {}
    _fit()
    assert fits.begun == [0, 1, 2, 2, 3]
    assert BATCH.missing() == []


def test_a_batch_that_the_plan_has_not_is_refused_before_anything_is_written(fits: Fits) -> None:
    with pytest.raises(ArtifactError, match="start it again"):
        fit_batch(PARAMS, "train", "0000-0003-00000000", RECORD, None)
    assert fits.begun == []
    assert not RECORD.exists()


@pytest.mark.usefixtures("fits")
def test_fits_of_one_size_share_their_programs() -> None:
    programs = Programs()
    _fit(programs=programs)
    small, large = programs.named[:2]
    assert programs.named == [small, large, small, large]
    assert small != large
    assert all("/" not in name and " " not in name for name in programs.named)


@pytest.mark.usefixtures("fits")
def test_programs_of_another_device_or_another_model_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there, changed = Programs(), Programs(), Programs()
    _fit(OTHER, here)
    _forget(OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(fit_job, "_device", lambda: "gpu NVIDIA H200")
        _fit(OTHER, there)
    _forget(OTHER)
    more_draws = parse(
        {**PARAMS.model_dump(), "inference": {**PARAMS.inference.model_dump(), "n_draws": 999}}
    )
    monkeypatch.setattr(fit_job, "fit_config", lambda *_: None)
    monkeypatch.setattr(fit_job, "progress_line", lambda *_, **__: "")
    batch = plan_batches(more_draws, "train", 2)[0]
    fit_batch(more_draws, "train", batch.batch_id, RECORD, changed)  # type: ignore[arg-type]
    assert len({*here.named, *there.named, *changed.named}) == 6
