"""The commands a user types around a run: lint, dry run, DVC's views; and how they refuse bad values."""

from __future__ import annotations

from workflow_project import Project

RUNS = {
    "smoke-train": ("aggregate.csv", "manifest.json", "dvclive/metrics.tsv"),
    "smoke-test": ("aggregate.csv", "manifest.json", "dvclive/metrics.tsv"),
    "smoke-corrections": ("coverage_correction.json", "scale_family_correction.json"),
    "smoke-evaluation": ("scorecard.csv", "scorecard.json", "manifest.json", "report.html"),
}
STAGES = ("train_sweep", "test_sweep", "fit_corrections", "evaluate_layered")


def test_the_workflow_is_clean_and_plans_without_writing(project: Project) -> None:
    assert "good condition" in project.run("snakemake", "--lint").stdout
    assert "fit                5" in project.run("snakemake", "--dry-run").stdout
    assert project.run("git", "status", "--short").stdout == ""
    assert not (project.path / "runs").exists()


def test_a_run_leaves_every_file(reproduced: Project) -> None:
    for run, files in RUNS.items():
        for file in files:
            assert (reproduced.path / "runs" / run / file).stat().st_size > 0, f"{run}/{file}"
    assert len(list(reproduced.path.glob("runs/smoke-test/configs/*/draws.npz"))) == 2
    assert len(list(reproduced.path.glob("runs/smoke-train/configs/*/draws.npz"))) == 0


def test_dvc_shows_the_run(reproduced: Project) -> None:
    assert "up to date" in reproduced.run("dvc", "status").stdout
    assert all(stage in reproduced.run("dvc", "dag").stdout for stage in STAGES)
    metrics = reproduced.run("dvc", "metrics", "show").stdout
    assert all(f"metrics/{stage}.json" in metrics for stage in STAGES)
    reproduced.run("dvc", "plots", "show")
    page = reproduced.text("dvc_plots/index.html")
    assert all(f'"field": "{method}"' in page for method in ("raw", "r_of_p", "layered"))
    assert all(f"Coverage of {method} 90% intervals by template" in page for method in ("raw", "calibrated"))
    reproduced.set_param("train_sweep.n_configs", 4)
    assert "train_sweep.n_configs" in reproduced.run("dvc", "params", "diff").stdout
    reproduced.restore()


BAD_VALUES = [
    ("  n_configs: 3", "  n_configs: 0", "train_sweep.n_configs: "),
    ("  n_configs: 3", "  n_config: 3", "train_sweep.n_config: unknown key; did you mean n_configs?"),
    ("id: smoke-train", "id: ../train", "train_sweep.id: "),
    ("master_seed: 20260528", "master_seed: 20260527", "must differ"),
    ("    n_knots: 3", "    n_knot: 3", "model.basis.n_knot: unknown key; did you mean n_knots?"),
]


def test_bad_values_are_one_line_and_write_nothing(project: Project) -> None:
    good = project.text("params.yaml")
    for old, new, message in BAD_VALUES:
        project.edit("params.yaml", old, new)
        for command in (("snakemake", "train_sweep"), ("dvc", "repro")):
            done = project.run(*command, check=False)
            assert done.returncode != 0
            assert [message in line for line in done.stdout.splitlines()].count(True) == 1, done.stdout
            assert "Traceback" not in done.stdout
        assert not (project.path / "runs").exists()
        assert not (project.path / "metrics").exists()
        (project.path / "params.yaml").write_text(good)


def test_a_profile_sets_the_cores_and_invalidates_nothing(reproduced: Project) -> None:
    profile = reproduced.path.parent / "one"
    profile.mkdir()
    (profile / "config.yaml").write_text("cores: 1\n")
    chosen = {"SNAKEMAKE_PROFILE": str(profile)}
    assert "didn't change" in reproduced.run("dvc", "repro", "train_sweep", **chosen).stdout
    assert reproduced.run("dvc", "status", "train_sweep", **chosen).stdout.endswith("up to date.\n")
    assert "Provided cores: 1 " in reproduced.run("snakemake", "fit_corrections", **chosen).stdout


def test_a_stage_never_makes_what_is_anothers(reproduced: Project) -> None:
    """Gathered files that look out of date by time are left alone by a later stage."""
    aggregate = reproduced.path / "runs/smoke-train/aggregate.csv"
    for summary in reproduced.path.glob("runs/smoke-train/configs/*/summary.json"):
        summary.touch()
    before = aggregate.stat().st_mtime_ns
    output = reproduced.run("dvc", "repro", "--force", "--single-item", "fit_corrections").stdout
    assert "rule correct" in output
    assert "rule gather" not in output
    assert aggregate.stat().st_mtime_ns == before
    reproduced.restore()
