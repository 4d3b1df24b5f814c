"""What README, docs and changelog say exists: commands, options, targets, files, keys, versions."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer.main
import yaml

import sbcflow
from sbcflow.cli import app
from sbcflow.params import PrecisionSettings
from sbcflow.scenario import apply_scenario

if TYPE_CHECKING:
    from typer.core import TyperCommand as Command

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("workflow/**/*.md"),
    ]
)
PAGES = [page for page in dict.fromkeys(PAGES) if "_build" not in page.parts]
COMMAND = typer.main.get_command(app)
PLACES = ("src/", "docs/", "config/", "workflow/", "tests/", "benchmarks/", "examples/")


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def shell_lines(text: str) -> list[str]:
    """Return the commands of a page's shell blocks, continued lines joined and comments dropped."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line for line in (re.sub(r"\s+# .*", "", line).strip() for line in joined.splitlines()) if line]


def inline_code(text: str) -> list[str]:
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def mentions(text: str, program: str) -> Iterator[list[str]]:
    """Yield the words after ``program`` of each command in blocks and of inline code."""
    for line in (*shell_lines(text), *inline_code(text)):
        if line.startswith(f"{program} "):
            yield shlex.split(line)[1:]


def resolve(words: list[str]) -> tuple[Command, list[str]]:
    """Return the command that words name, and what is left of them."""
    command, rest = COMMAND, list(words)
    while rest and not rest[0].startswith("-") and (children := children_of(command)):
        name = rest.pop(0)
        assert name in children, f"no command {name!r}"
        command = children[name]
    return command, rest


def children_of(command: Command) -> dict[str, Command]:
    return getattr(command, "commands", {})


def options_of(command: Command) -> set[str]:
    return {flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_exist_with_their_options(page: Path) -> None:
    for words in mentions(page.read_text(), "sbcflow"):
        command, rest = resolve(words)
        named = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert named <= options_of(command) | {"--help"}, words


def test_commands_in_the_readme_are_complete() -> None:
    lines = [line for line in shell_lines((ROOT / "README.md").read_text()) if line.startswith("sbcflow ")]
    shown = {resolve(shlex.split(line)[1:])[0].name for line in lines}
    assert {"analyze", "calibrate", "scorecard", "apply"} <= shown
    for line in lines:
        command, rest = resolve(shlex.split(line)[1:])
        required = {p.opts[0] for p in command.params if p.required and p.param_type_name == "option"}
        assert required <= set(rest), line


def test_every_command_and_option_is_described() -> None:
    text = (ROOT / "docs/cli.md").read_text()
    sections = dict(re.findall(r"^## sbcflow (.+?)\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL))
    described = {}
    for heading, body in sections.items():
        words = [word for word in heading.split() if word.islower()]
        described[" ".join(words)] = body
    for name, command in _leaves(COMMAND, ()):
        assert name in described, name
        for option in options_of(command) - {"--help"}:
            assert option in described[name], f"{name} {option}"


def _leaves(command: Command, path: tuple[str, ...]) -> Iterator[tuple[str, Command]]:
    for name, child in children_of(command).items():
        yield from _leaves(child, (*path, name))
    if not children_of(command):
        yield " ".join(path), command


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_make_targets_and_stages_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].keys()
    text = page.read_text()
    for words in mentions(text, "make"):
        assert all(word in targets or "=" in word or word.startswith("-") for word in words), words
    for words in mentions(text, "dvc"):
        if words[0] == "repro":
            assert all(word in stages or not word.islower() or word[0] in "-[" for word in words[1:]), words
    for words in mentions(text, "snakemake"):
        profiles = {words[i + 1] for i, word in enumerate(words[:-1]) if word == "--profile"}
        assert all(profile.isupper() or (ROOT / profile).is_dir() for profile in profiles), words
        named = {word for word in words if word.isidentifier() and word.islower()} - profiles
        assert named <= stages | {"exploratory_sweep", "all", "audit"}, words


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_named_files_exist(page: Path) -> None:
    for name in inline_code(page.read_text()):
        if name.startswith(PLACES) and re.fullmatch(r"[\w./-]+", name):
            assert (ROOT / name).exists() or name.startswith("docs/_build"), name


def documented_keys() -> dict[tuple[str, ...], set[str]]:
    """Return the keys in the tables of config/README.md, by the sections of params.yaml in their heading."""
    parts = re.split(r"^## ", (ROOT / "config/README.md").read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for part in parts:
        heading, _, body = part.partition("\n")
        cells = re.findall(r"^\| (`[^|]*) \|", body, flags=re.MULTILINE)
        if sections := tuple(inline_code(heading)):
            found[sections] = {name for cell in cells for name in inline_code(cell)}
    return found


def leaf_keys(values: dict[str, object], parents: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        path = (*parents, name)
        if isinstance(value, dict) and value:
            yield from leaf_keys(value, path)
        else:
            yield path


def endings(path: tuple[str, ...]) -> set[str]:
    return {".".join(path[start:]) for start in range(len(path))}


def test_every_run_value_is_documented_and_nothing_else() -> None:
    leaves = list(leaf_keys(yaml.safe_load((ROOT / "params.yaml").read_text())))
    # In place of n_configs, so params.yaml has none.
    sweeps = ("train_sweep", "test_sweep", "exploratory_sweep")
    leaves += [(section, "precision", name) for section in sweeps for name in PrecisionSettings.model_fields]
    documented = documented_keys()
    for path in leaves:
        names = [keys for sections, keys in documented.items() if path[0] in sections]
        assert len(names) == 1 and names[0] & endings(path), ".".join(path)
    for sections, keys in documented.items():
        known = set().union(*(endings(path) for path in leaves if path[0] in sections))
        assert keys <= known, f"{sections}: {keys - known}"


def test_the_scenario_of_the_tutorial_is_of_experiments_like_its_own(tmp_path: Path) -> None:
    """64,000 visitors in three arms, of whom 0.9% convert; one e-mail moves the logit of that by 0.8."""
    params = Path(shutil.copy(ROOT / "params.yaml", tmp_path))
    applied = apply_scenario(ROOT / "config/hillstrom.yaml", params)
    low, high = applied.generators.v2.base_rate
    assert applied.generators.v2.n_arms == 3 and low < 0.009 < high
    assert applied.generators.v2.conversion_effect[0] < 0.8 < applied.generators.v2.conversion_effect[1]
    assert {run.id.partition("-")[0] for run in applied.runs().values()} == {"hillstrom"}
    assert {scale for sweep in (applied.train_sweep, applied.test_sweep) for scale in sweep.scales} == {64000}


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    latest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert project["version"] == sbcflow.__version__ == latest[1]


def test_decisions_are_numbered_and_named_by_their_title() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{n:04d}" for n in range(1, len(pages) + 1)]
    assert all(page.read_text().startswith(f"# {page.name[:4]}: ") for page in pages)
