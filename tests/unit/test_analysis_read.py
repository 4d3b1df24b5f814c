"""Reading a real experiment: what is accepted, and the one line that each bad input gets."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_examples import HILLSTROM, N_VISITORS, shop

from sbcflow.analysis.read import Roles, read_trial
from sbcflow.errors import DataError

ROLES = Roles(arm="arm", control="None", converted="bought", revenue="spend")
HILLSTROM_ROLES = Roles("segment", "No E-Mail", "conversion", "spend")


def _write(folder: Path, table: pd.DataFrame) -> Path:
    path = folder / "shop.csv"
    table.to_csv(path, index=False)
    return path


def test_a_csv_becomes_a_trial(tmp_path: Path) -> None:
    table = shop()
    found = read_trial(_write(tmp_path, table), ROLES)
    trial = found.trial
    assert trial.arm_names == ("None", "banner")
    assert trial.arm.tolist() == (table["arm"] == "banner").astype(int).tolist()
    assert trial.converted.tolist() == table["bought"].astype(bool).tolist()
    assert trial.revenue.tolist() == table["spend"].tolist()
    kinds = [(f.name, f.kind, f.levels) for f in trial.covariates.features]
    assert kinds == [
        ("age", "continuous", ()),
        ("member", "binary", ()),
        ("city", "categorical", ("Bath", "Ely", "York")),
    ]
    assert trial.covariates.values.dtype == np.float32
    assert [("Bath", "Ely", "York")[int(c)] for c in trial.covariates.values[:, 2]] == table["city"].tolist()
    assert found.notes == ()


@pytest.mark.parametrize("ending", [".csv.gz", ".parquet"])
def test_every_kind_of_file_gives_the_same_trial(tmp_path: Path, ending: str) -> None:
    table, path = shop(), tmp_path / f"shop{ending}"
    if ending == ".parquet":
        table.astype({"city": "category", "bought": bool}).to_parquet(path)
    else:
        table.to_csv(path, index=False)
    expected = read_trial(_write(tmp_path, table), ROLES).trial
    trial = read_trial(path, ROLES).trial
    assert trial.arm_names == expected.arm_names
    assert trial.covariates.features == expected.covariates.features
    for name in ("arm", "converted", "revenue"):
        np.testing.assert_array_equal(getattr(trial, name), getattr(expected, name))
    np.testing.assert_array_equal(trial.covariates.values, expected.covariates.values)


def test_numbers_name_arms_as_they_are_written(tmp_path: Path) -> None:
    table = shop().assign(arm=np.arange(N_VISITORS) % 3)
    csv = read_trial(_write(tmp_path, table), replace(ROLES, control="0")).trial
    table.to_parquet(tmp_path / "shop.parquet")
    parquet = read_trial(tmp_path / "shop.parquet", replace(ROLES, control="0")).trial
    assert csv.arm_names == parquet.arm_names == ("0", "1", "2")


def test_named_features_alone_are_read(tmp_path: Path) -> None:
    table = shop().assign(note=None)
    trial = read_trial(_write(tmp_path, table), replace(ROLES, features=("city", "age"))).trial
    assert [f.name for f in trial.covariates.features] == ["city", "age"]


def test_a_constant_feature_is_left_out_with_a_note(tmp_path: Path) -> None:
    found = read_trial(_write(tmp_path, shop().assign(country="UK", year=2026)), ROLES)
    assert [f.name for f in found.trial.covariates.features] == ["age", "member", "city"]
    assert [note.split()[0] for note in found.notes] == ["country", "year"]


def test_an_outcome_is_no_feature_unless_named_and_is_noted_then(tmp_path: Path) -> None:
    table = shop()
    clicked = (table["arm"] == "banner") & (np.random.default_rng(1).random(N_VISITORS) < 0.5)
    path = _write(tmp_path, table.assign(clicked=clicked))
    with pytest.raises(DataError, match=r"column clicked: differs between the arms .*--features"):
        read_trial(path, ROLES)
    named = read_trial(path, replace(ROLES, features=("age", "clicked")))
    assert len(named.notes) == 1 and named.notes[0].startswith("clicked differs between the arms")


def test_hillstrom_without_features_is_refused_for_its_visits() -> None:
    with pytest.raises(DataError, match="column visit: differs between the arms"):
        read_trial(HILLSTROM, HILLSTROM_ROLES)


def test_hillstrom_has_its_known_counts() -> None:
    named = ("recency", "history", "mens", "womens", "zip_code", "newbie", "channel")
    found = read_trial(HILLSTROM, replace(HILLSTROM_ROLES, features=named))
    trial = found.trial
    assert found.notes == ()
    assert trial.arm_names == ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
    assert np.bincount(trial.arm).tolist() == [21_306, 21_307, 21_387]
    means = [trial.revenue[trial.arm == k].mean() for k in range(3)]
    assert means == pytest.approx([0.652789, 1.422617, 1.077202], abs=1e-6)
    rates = [trial.converted[trial.arm == k].mean() for k in range(3)]
    assert rates == pytest.approx([0.005726, 0.012531, 0.008837], abs=1e-6)
    kinds = {f.name: f.kind for f in trial.covariates.features}
    assert kinds["zip_code"] == kinds["channel"] == "categorical"
    assert kinds["recency"] == kinds["history"] == "continuous"
    assert kinds["mens"] == kinds["womens"] == kinds["newbie"] == "binary"


def _set(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].astype(object)
        values.iloc[row] = value
        return table.assign(**{column: values})

    return change


def _bought(table: pd.DataFrame, n: int) -> pd.DataFrame:
    bought = np.arange(len(table)) < n
    return table.assign(bought=bought.astype(int), spend=np.where(bought, 9.5, 0.0))


def _row(bought: int) -> int:
    return int((shop()["bought"] == bought).to_numpy().argmax())


BUYER, LOOKER = _row(1), _row(0)

BAD_TABLES = [
    (lambda t: t.drop(columns="spend"), "no column 'spend' (columns: "),
    (lambda t: t.rename(columns={"spend": "spent"}), "no column 'spend'; did you mean spent?"),
    (lambda t: t.assign(arm="None"), "column arm: has only the arm 'None'"),
    (
        lambda t: t.assign(arm=t["arm"].str.replace("None", "Nine")),
        "did you mean 'Nine'? (arms: Nine, banner)",
    ),
    (lambda t: t.assign(arm=np.arange(len(t))), "column arm: has 600 different values; at most 20 arms"),
    (_set("arm", 4, ""), "column arm: 1 of 600 values are missing, the first in row 5"),
    (
        _set("bought", LOOKER, 2),
        f"column bought: must be 0 or 1 (or true and false), got 2 in row {LOOKER + 1}",
    ),
    (_set("bought", LOOKER, "yes"), "column bought: must be 0 or 1 (or true and false), got 'yes'"),
    (_set("bought", 3, ""), "column bought: 1 of 600 values are missing, the first in row 4"),
    (_set("spend", LOOKER, -1.0), f"column spend: must not be negative, got -1.0 in row {LOOKER + 1}"),
    (_set("spend", LOOKER, 5.0), f"column spend: must be 0 where bought is 0, got 5.0 in row {LOOKER + 1}"),
    (
        _set("spend", BUYER, 0.0),
        f"column spend: must be positive where bought is 1, got 0.0 in row {BUYER + 1}",
    ),
    (_set("spend", BUYER, "inf"), "column spend: must hold finite numbers, got inf"),
    (_set("spend", BUYER, "$5"), "column spend: must hold finite numbers, got '$5'"),
    (_set("spend", 8, "NaN"), "column spend: 1 of 600 values are missing, the first in row 9"),
    (_set("age", 0, ""), "column age: 1 of 600 values are missing, the first in row 1"),
    (_set("age", 2, "-inf"), "column age: must hold finite numbers, got -inf in row 3"),
    (_set("age", 2, 1e39), "column age: must be within 32-bit floats, got 1e+39 in row 3"),
    (_set("city", 1, ""), "column city: 1 of 600 values are missing"),
    (
        lambda t: t.assign(city=[f"c{i % 51}" for i in range(len(t))]),
        "column city: has 51 levels; at most 50",
    ),
    (lambda t: _bought(t, 1), "column bought: 1 of 600 visitors converted; at least 2 must have"),
    (lambda t: _bought(t, len(t)), "column bought: 600 of 600 visitors converted"),
    (lambda t: t.assign(age=1, member=1, city="York"), "no feature varies"),
    (lambda t: t.iloc[:0], "has no row"),
    (lambda t: pd.concat([t, t[["age"]]], axis=1), "column age: stands twice in the header"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_TABLES)
def test_a_bad_table_is_one_line_that_names_it(
    tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    path = _write(tmp_path, spoil(shop()))
    with pytest.raises(DataError) as error:
        read_trial(path, ROLES)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


BAD_ROLES = [
    ({"control": "none"}, "no visitor has the control value 'none'; did you mean 'None'?"),
    ({"revenue": "bought"}, "arm, converted and revenue must be three columns"),
    ({"features": ("age", "city", "age")}, "column age: named 2 times as a feature"),
    ({"features": ("age", "spend")}, "column spend: is arm, converted or revenue"),
    ({"features": ("agee",)}, "no column 'agee'; did you mean age?"),
    ({"features": ("",)}, "no column ''"),
]


@pytest.mark.parametrize(("change", "message"), BAD_ROLES)
def test_bad_roles_are_one_line(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = _write(tmp_path, shop())
    with pytest.raises(DataError) as error:
        read_trial(path, replace(ROLES, **change))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


HEADER = b"arm,bought,spend,age\n"
BAD_FILES = {
    "no file": ("missing.csv", None, "no such file"),
    "another format": ("shop.xlsx", b"x", "must end in .csv, .csv.gz or .parquet"),
    "nothing": ("shop.csv", b"", "is empty"),
    "blank lines": ("shop.csv", b"\n\n", "is empty"),
    "rows longer than the header": ("shop.csv", HEADER + b"None,1,5.0,3,9\n", "cannot be read"),
    "one long row": ("shop.csv", HEADER + b"None,1,5.0,3\nNone,1,5.0,3,9\n", "cannot be read"),
    "not UTF-8": ("shop.csv", HEADER + b"None,1,5.0,\xff\n", "cannot be read"),
    "a short row": ("shop.csv", HEADER + b"None,1\n", "values are missing"),
    "not gzip": ("shop.csv.gz", b"arm,bought", "cannot be read"),
    "cut gzip": ("shop.csv.gz", gzip.compress(shop().to_csv().encode())[:2000], "cannot be read"),
    "gzip of nothing": ("shop.csv.gz", gzip.compress(b""), "is empty"),
    "cut parquet": ("shop.parquet", b"PAR1 no more", "cannot be read"),
}


# The ids are named: gzip writes the time into its bytes, and workers must collect the same ids.
@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_one_line_that_names_it(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_trial(path, ROLES)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def _refusal(path: Path, roles: Roles = ROLES) -> str:
    with pytest.raises(DataError) as error:
        read_trial(path, roles)
    assert "\n" not in str(error.value)
    return str(error.value)


DATES = "looks like dates: turn it into a number known at assignment, as days since signup"
DAYS = pd.Series(pd.date_range("2024-01-01", periods=N_VISITORS))
IDS = [f"u-{i:05}" for i in range(N_VISITORS)]


def test_every_faulty_feature_is_named_in_one_line(tmp_path: Path) -> None:
    table = shop().assign(visitor=IDS, signup=DAYS, clicked=shop()["arm"] == "banner")
    table.loc[2, "age"] = table.loc[5, "city"] = None
    path = _write(tmp_path, table)
    parts = _refusal(path).removeprefix(f"{path}: ").split("; column ")
    assert parts[:4] == [
        "column age: 1 of 600 values are missing, the first in row 3: fill them (as with the median) and "
        "add a column that is 1 where they were missing",
        "city: 1 of 600 values are missing, the first in row 6: fill them with a level such as 'unknown'",
        "visitor: looks like an identifier: leave it out with --exclude visitor",
        f"signup: {DATES}",
    ]
    assert len(parts) == 5 and parts[4].startswith("clicked: differs between the arms")
    assert parts[4].endswith(
        "leave it out with --exclude clicked, or name the columns to use with --features"
    )


def test_what_the_line_asks_for_is_enough(tmp_path: Path) -> None:
    table = shop().assign(visitor=IDS, signup=DAYS)
    table.loc[2, "age"] = table.loc[5, "city"] = None
    table["no_age"] = table["age"].isna().astype(int)
    table["age"] = table["age"].fillna(table["age"].median())
    table["city"] = table["city"].fillna("unknown")
    table["signup"] = (pd.Timestamp("2026-01-01") - table["signup"]).dt.days % 365
    trial = read_trial(_write(tmp_path, table), replace(ROLES, exclude=("visitor",))).trial
    kinds = {f.name: f.kind for f in trial.covariates.features}
    assert (kinds["no_age"], kinds["age"], kinds["signup"]) == ("binary", "continuous", "continuous")
    assert "visitor" not in kinds and trial.n_visitors == N_VISITORS


FORMS = [
    *("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%f", "%d/%m/%Y", "%m/%d/%Y %H:%M"),
    *("%d.%m.%Y", "%d %b %Y", "%B %d, %Y"),
]


@pytest.mark.parametrize("form", FORMS)
def test_text_that_reads_as_dates_is_told_from_other_text(tmp_path: Path, form: str) -> None:
    text, tenth = DAYS.dt.strftime(form), np.arange(N_VISITORS) % 10
    most, few = (text.where(tenth < n, "never " + text) for n in (6, 4))
    assert f"column seen: {DATES}" in _refusal(_write(tmp_path, shop().assign(seen=most)))
    assert "column seen: looks like an identifier" in _refusal(_write(tmp_path, shop().assign(seen=few)))


def test_dates_that_miss_some_are_dates_with_the_advice_for_numbers(tmp_path: Path) -> None:
    seen = DAYS.astype(str).where(np.arange(N_VISITORS) != 9, "")
    said = _refusal(_write(tmp_path, shop().assign(seen=seen)))
    assert f"column seen: {DATES}; 1 of 600 values are missing, the first in row 10: fill them (as" in said


@pytest.mark.parametrize("kind", ["datetime64[ns]", "datetime64[ns, UTC]", "date"])
def test_dates_of_parquet_are_no_feature(tmp_path: Path, kind: str) -> None:
    seen = (
        DAYS.dt.date
        if kind == "date"
        else pd.Series(pd.DatetimeIndex(DAYS, tz="UTC" if "UTC" in kind else None))
    )
    shop().assign(seen=seen).to_parquet(tmp_path / "shop.parquet")
    assert _refusal(tmp_path / "shop.parquet").endswith(f"column seen: {DATES}")


@pytest.mark.parametrize("values", [IDS, range(7, 7 + N_VISITORS), [*IDS[:560], *IDS[:40]]])
def test_an_identifier_is_told_from_what_repeats_or_is_measured(tmp_path: Path, values: list[object]) -> None:
    path = _write(tmp_path, shop().assign(**{"the id": list(values)}))
    assert _refusal(path).endswith(
        "column the id: looks like an identifier: leave it out with --exclude 'the id'"
    )
    assert read_trial(path, replace(ROLES, exclude=("the id",))).trial.covariates.features[0].name == "age"


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(2).gamma(2, 10, N_VISITORS),  # a measure, all distinct
        np.arange(N_VISITORS) // 2,  # a count that repeats
        [f"c{i % 50}" for i in range(N_VISITORS)],
    ],
)
def test_what_is_no_identifier_is_a_feature(tmp_path: Path, values: object) -> None:
    trial = read_trial(_write(tmp_path, shop().assign(extra=values)), ROLES).trial
    assert [f.name for f in trial.covariates.features] == ["age", "member", "city", "extra"]


def test_whole_numbers_that_are_all_distinct_pass_with_a_note_where_named(tmp_path: Path) -> None:
    path = _write(tmp_path, shop().assign(income=np.random.default_rng(3).permutation(N_VISITORS)))
    assert "column income: looks like an identifier" in _refusal(path)
    named = read_trial(path, replace(ROLES, features=("age", "income")))
    assert named.notes == ("income looks like an identifier",)


OTHER_FAULTS = [
    (
        [f"c{i % 60}" for i in range(N_VISITORS)],
        "has 60 levels; at most 50 are allowed: merge some, or leave it out with --exclude extra",
    ),
    ([""] * N_VISITORS, "all 600 values are missing: leave it out with --exclude extra"),
    (
        [*(f"{i}.5" for i in range(N_VISITORS - 1)), "n.a."],
        "must hold numbers alone, and nothing where one is missing, got 'n.a.' in row 600",
    ),
]


@pytest.mark.parametrize(("values", "message"), OTHER_FAULTS)
def test_other_faults_say_what_to_do(tmp_path: Path, values: list[str], message: str) -> None:
    assert _refusal(_write(tmp_path, shop().assign(extra=values))).endswith(f"column extra: {message}")


BAD_EXCLUSIONS = [
    (("agee",), None, "no column 'agee'; did you mean age?"),
    (("spend",), None, "column spend: is arm, converted or revenue; must not be excluded"),
    (("city",), ("age", "city"), "column city: is both a feature and excluded; must be one of them"),
    (("age", "member", "city"), None, "no feature varies"),
]


@pytest.mark.parametrize(("exclude", "features", "message"), BAD_EXCLUSIONS)
def test_bad_exclusions_are_one_line(
    tmp_path: Path, exclude: tuple[str, ...], features: tuple[str, ...] | None, message: str
) -> None:
    path = _write(tmp_path, shop())
    assert message in _refusal(path, replace(ROLES, exclude=exclude, features=features))


def test_features_and_exclusions_that_share_none_go_together(tmp_path: Path) -> None:
    roles = replace(ROLES, features=("age",), exclude=("city",))
    assert [f.name for f in read_trial(_write(tmp_path, shop()), roles).trial.covariates.features] == ["age"]
