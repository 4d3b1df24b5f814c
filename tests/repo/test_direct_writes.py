"""Files of a run are written through ``sbcflow.files``, whole or not at all, and by no module in place."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from source_guards import direct_writes, findings, found_in

# Who may write in place: by module, what it calls and why. experiment/ writes to Git's and DVC's stores by
# rules of its own (tests/repo/test_exp_kill.py).
WRITERS: Mapping[str, tuple[set[str], str]] = {
    "compilation.py": (
        {"tempfile.mkdtemp", "os.open", "warm.touch", "fresh.rename", "path.symlink_to"}
        | {"(self.view / path.name).symlink_to"},
        "locks, and the links of a process's own view of the cache; programs go through files.write_bytes",
    ),
    "devices.py": ({"os.open"}, "a lock file, which holds nothing"),
    "doctor/machine.py": ({"tempfile.TemporaryFile"}, "a nameless file, gone at once, to try a lock on"),
    "explore/workflow.py": ({"log_path(planned.name).open"}, "a log, which grows as it is read"),
    "locks.py": ({"os.open"}, "a lock file, which holds nothing"),
    "plots/style.py": ({"super().savefig"}, "a figure where its user saves it; none of a run's files"),
    "project/new.py": ({"(folder / SLURM).symlink_to"}, "a link, which holds nothing"),
    "sweep/job.py": ({"logging.basicConfig"}, "a log, which grows as it is read"),
    "tracking.py": ({"Live"}, "DVCLive, in a folder of replacing_folder"),
}
NOT_ARTIFACTS = ("experiment/", "files.py")


def artifact_modules() -> dict[str, set[str]]:
    found = findings(direct_writes)
    return {name: what for name, what in found.items() if not name.startswith(NOT_ARTIFACTS)}


def test_files_are_written_through_files_alone() -> None:
    allowed = {name: calls for name, (calls, _) in WRITERS.items()}
    found = {name: what - allowed.get(name, set()) for name, what in artifact_modules().items()}
    assert {name: what for name, what in found.items() if what} == {}, "write through sbcflow.files"


def test_exceptions_are_still_needed() -> None:
    found = artifact_modules()
    assert {name for name, (calls, _) in WRITERS.items() if not calls & found.get(name, set())} == set()
    assert all(reason for _, reason in WRITERS.values())


@pytest.mark.parametrize(
    "snippet",
    [
        "open(path, 'w')",
        "open(path, mode='ab')",
        "open(path, mode)",
        "open(path, **how)",
        "gzip.open(path, 'wt')",
        "io.open(path, 'x')",
        "path.open('w', encoding='utf-8')",
        "path.open(mode='r+')",
        "(root / 'a').open('xb')",
        "os.open(path, os.O_WRONLY | os.O_CREAT)",
        "os.fdopen(descriptor, 'w')",
        "path.write_text(text)",
        "Path('a').write_bytes(content)",
        "path.touch()",
        "path.rename(target)",
        "path.replace(target)",
        "os.replace(a, b)",
        "shutil.copy2(a, b)",
        "np.save(path, x)",
        "numpy.savez_compressed(path, x=x)",
        "x.tofile(path)",
        "frame.to_csv(path, index=False)",
        "frame.to_csv(path_or_buf='a.csv')",
        "frame.to_parquet(folder / 'a.parquet')",
        "parquet.ParquetWriter(path, schema)",
        "parquet.write_table(table, path)",
        "plt.savefig('a.png')",
        "zipfile.ZipFile(path, 'w')",
        "tempfile.NamedTemporaryFile()",
        "logging.FileHandler(path)",
        "with open(path, 'w') as stream:\n    frame.to_csv(stream)",
    ],
)
def test_a_direct_write_is_found(snippet: str) -> None:
    assert found_in(direct_writes, snippet)


@pytest.mark.parametrize(
    "snippet",
    [
        "open(path)",
        "open(path, 'rb')",
        "path.open()",
        "path.open('rb')",
        "path.open(encoding='utf-8', newline='')",
        "os.open(folder, os.O_RDONLY)",
        "with replacing(path) as stream:\n    frame.to_csv(stream)",
        "with replacing(path) as stream, other:\n    parquet.ParquetWriter(stream, schema)",
        "text = io.StringIO()\nframe.to_csv(text)",
        "frame.to_csv()",
        "curve.to_json()",
        "write_text(path, text)",
        "files.write_bytes(path, content)",
        "text.replace('a', 'b')",
        "frame.rename(columns=names)",
        "moment.replace(tzinfo=UTC)",
    ],
)
def test_what_writes_no_file_in_place_is_not_found(snippet: str) -> None:
    assert found_in(direct_writes, snippet) == []
