"""What a dvc.yaml declares is read with DVC's paths; templates are marked and not guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbcflow.errors import ArtifactError
from sbcflow.experiment.dvc.project import Out, Project, join, metrics_files, params_files, read_project

ROOT = Path(__file__).parents[2]
TEXT = b"""\
params: [extra.yaml]
metrics: [top.json, "${where}/m.json"]
plots:
- curve.csv
- roc:
    x: fpr
    y: {a.csv: tpr, b.csv: tpr}
- loss.csv:
    x: step
stages:
  train:
    cmd: python train.py \\${HOME}
    deps: [train.py, ../data, s3://b/c]
    wdir: code
    params:
    - lr
    - model.depth
    - other.yaml: [a, b]
    - whole.yaml:
    outs:
    - model.bin
    - logs: {cache: false, persist: true}
    metrics:
    - metrics.json: {cache: false}
    plots:
    - p.csv: {x: step}
  each:
    foreach: [1, 2]
    do:
      cmd: run ${item}
      outs: ["out/${item}"]
      metrics: [each.json]
  grid:
    matrix: {a: [1, 2]}
    cmd: [echo, "run ${item.a}"]
  told:
    cmd: run
    deps: ["${data}"]
  moved:
    cmd: run
    wdir: ${where}
    outs: [x]
"""


@pytest.fixture
def project() -> Project:
    return read_project(TEXT)


def test_stage_paths_are_relative_to_the_root(project: Project) -> None:
    train = project.stages[0]
    assert (train.name, train.cmd, train.folder) == ("train", "python train.py ${HOME}", "code")
    assert train.deps == ("code/train.py", "data", "s3://b/c")
    assert train.outs == (
        Out("code/model.bin"),
        Out("code/logs", cache=False),
        Out("code/metrics.json", "metric", cache=False),
        Out("code/p.csv", "plot"),
    )
    assert train.params == (
        ("code/params.yaml", "lr"),
        ("code/params.yaml", "model.depth"),
        ("code/other.yaml", "a"),
        ("code/other.yaml", "b"),
        ("code/whole.yaml", None),
    )


def test_templates_are_marked(project: Project) -> None:
    assert {stage.name: stage.templated for stage in project.stages} == {
        "train": False, "each": True, "grid": True, "told": True, "moved": True,
    }  # fmt: skip
    stages = {stage.name: stage for stage in project.stages}
    assert stages["each"].outs == (Out("out/${item}"), Out("each.json", "metric"))
    assert stages["grid"].cmd == ("echo", "run ${item.a}")
    assert (stages["moved"].folder, stages["moved"].outs) == (None, ())


def test_files_of_metrics_and_plots(project: Project) -> None:
    assert metrics_files(project) == ("top.json", "code/metrics.json", "each.json")
    assert project.plots == ("curve.csv", "a.csv", "b.csv", "loss.csv")
    assert "out/${item}" not in project.out_paths()
    assert {"code/model.bin", "code/p.csv", "each.json"} <= project.out_paths()


def test_params_files_start_with_the_default(project: Project) -> None:
    expected = ("params.yaml", "extra.yaml", "code/params.yaml", "code/other.yaml", "code/whole.yaml")
    assert params_files(project) == expected
    plain = b"stages: {a: {cmd: x, params: [{o.yaml: [k]}, lr]}}"
    assert params_files(read_project(plain)) == ("params.yaml", "o.yaml")
    assert params_files(read_project(b"stages: {a: {cmd: x, params: [o.yaml: [k]]}}")) == ("o.yaml",)
    assert params_files(read_project(b"stages: {a: {cmd: x}}")) == ()


def test_a_whole_file_hides_its_keys() -> None:
    project = read_project(b"stages: {a: {cmd: x, params: [lr, {params.yaml: }]}}")
    assert project.stages[0].params == (("params.yaml", None),)


def test_a_folder_comes_before_every_path() -> None:
    project = read_project(TEXT, "sub/./dir/")
    assert project.folder == "sub/dir"
    assert project.stages[0].deps == ("sub/dir/code/train.py", "sub/dir/data", "s3://b/c")
    assert metrics_files(project)[0] == "sub/dir/top.json"
    assert params_files(project)[0] == "sub/dir/params.yaml"


def test_a_project_is_read_once() -> None:
    assert read_project(TEXT) is read_project(bytes(bytearray(TEXT)))


@pytest.mark.parametrize("text", [b"", b"# none\n", b"stages:\n", b"vars: [a: 1]\n"])
def test_empty_projects(text: bytes) -> None:
    assert read_project(text) == Project()


@pytest.mark.parametrize(
    "text",
    [b"- 1", b"a: [", b"stages: [a]", b"stages: {a: 1}", b"stages: {a: {deps: [x]}}",
     b"stages: {a: {cmd: []}}",
     b"stages: {a: {cmd: x, outs: y}}", b"stages: {a: {cmd: x, deps: [1]}}", b"metrics: {a: 1}",
     b"params: [1]",
     b"stages: {a: {cmd: x, params: [f: k]}}", b"stages: {a: {foreach: [1]}}", b"plots: [1]",
     b"stages: {a: {cmd: x, outs: [[y]]}}"],
)  # fmt: skip
def test_malformed_files_are_named(text: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"^sub/dvc\.yaml: "):
        read_project(text, "sub")


@pytest.mark.parametrize(
    ("folder", "path", "expected"),
    [
        ("", "a", "a"),
        ("a", "../b", "b"),
        ("", "./a//b/", "a/b"),
        ("a", ".", "a"),
        ("", ".", ""),
        ("a", "/b", "/b"),
    ],
)
def test_paths_are_joined(folder: str, path: str, expected: str) -> None:
    assert join(folder, path) == expected


def test_the_projects_own_dvc_yaml() -> None:
    project = read_project((ROOT / "dvc.yaml").read_bytes())
    assert {stage.name for stage in project.stages} >= {"train_sweep", "test_sweep"}
    assert "metrics/train_sweep.json" in metrics_files(project)
    assert params_files(project)[0] == "params.yaml"
