"""The report's pages in a browser: at two widths, in light, dark and print, sorted, downloaded, by axe.

Every check is also shown a page that is broken on purpose.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from browser import column_values, is_sorted, opened, overflow, requests_elsewhere, violations
from playwright.sync_api import Browser, Page

DESKTOP, PHONE, A4 = 1280, 390, 718
MOST_BYTES = 5_000_000


@pytest.fixture
def broken(path: Path, tmp_path: Path):
    """Return what writes the page with a change, which must be one, and returns where."""

    def write(pattern: str, replacement: str) -> Path:
        text, n_changes = re.subn(pattern, replacement, path.read_text(), count=1)
        assert n_changes == 1, pattern
        changed = tmp_path / "broken.html"
        changed.write_text(text)
        return changed

    return write


def test_the_file_is_small(path: Path, record_property) -> None:
    size = path.stat().st_size
    record_property("bytes", size)
    print(f"{path.parent.name}/{path.name}: {size:,} bytes")
    assert size < MOST_BYTES


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_it_opens_without_a_word_and_asks_for_nothing(
    browser: Browser, path: Path, width: int, scheme: str
) -> None:
    with opened(browser, path, width, scheme) as seen:
        seen.open_all_tables()
        assert seen.complaints == []
        assert requests_elsewhere(seen, path) == []
        assert overflow(seen) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_axe_finds_nothing_serious(browser: Browser, path: Path, width: int, scheme: str) -> None:
    with opened(browser, path, width, scheme) as seen:
        seen.open_all_tables()
        assert violations(seen) == []


def test_pictures_and_tables_are_described(browser: Browser, path: Path) -> None:
    with opened(browser, path, DESKTOP) as seen:
        page = seen.page
        assert page.locator("svg[role=img][aria-label]").count() == page.locator("svg").count() > 0
        assert page.locator("table caption").count() == page.locator("table").count() > 0
        assert page.locator("h1").count() == page.locator("main").count() == 1
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"


def test_every_column_of_every_table_sorts(browser: Browser, path: Path) -> None:
    with opened(browser, path, DESKTOP) as seen:
        seen.open_all_tables()
        check_all_sorts(seen.page)


def check_all_sorts(page: Page) -> None:
    for table in page.locator("table").all():
        for column, head in enumerate(table.locator("th").all()):
            check_sorts(table, column, head)


def check_sorts(table, column: int, head) -> None:
    before = column_values(table, column)
    numeric = "figure" in (head.get_attribute("class") or "")
    for word in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == word
        values = column_values(table, column)
        assert sorted(values) == sorted(before)
        if numeric:
            assert is_sorted(values, numeric=True, down=word == "descending")
    assert table.locator("th[aria-sort]").count() == 1


def test_numbers_sort_as_numbers_and_with_their_rows(browser: Browser, evaluation: Path) -> None:
    with opened(browser, evaluation / "report.html", DESKTOP) as seen:
        seen.open_all_tables()
        table = seen.page.locator("#table-fits")
        keys = table.locator("th").evaluate_all("(heads) => heads.map((head) => head.dataset.key)")
        rows = set(zip(*(column_values(table, k) for k in range(len(keys))), strict=True))
        table.locator("th", has_text="visitors").locator("button").click()
        visitors = column_values(table, keys.index("n_visitors"))
        assert visitors == sorted(visitors, key=int) and visitors != sorted(visitors), "800 before 1600"
        assert set(zip(*(column_values(table, k) for k in range(len(keys))), strict=True)) == rows


def test_every_table_downloads_as_it_is(browser: Browser, path: Path, tmp_path: Path) -> None:
    with opened(browser, path, DESKTOP) as seen:
        n_tables = seen.page.locator("button.download").count()
    assert n_tables > 0
    for i in range(n_tables):
        # A page of its own for each: Chromium takes ten downloads in a row from one.
        with opened(browser, path, DESKTOP) as seen:
            seen.open_all_tables()
            button = seen.page.locator("button.download").nth(i)
            name = button.get_attribute("data-file")
            with seen.page.expect_download() as download:
                button.click()
            assert download.value.suggested_filename == name
            download.value.save_as(tmp_path / str(name))
            with (tmp_path / str(name)).open(newline="", encoding="utf-8") as stream:
                head, *rows = csv.reader(stream)
            assert (head, rows) == shown(seen.page, str(button.get_attribute("data-table")))
            assert seen.complaints == []


def shown(page: Page, table_id: str) -> tuple[list[str], list[list[str]]]:
    table = page.locator(f"#{table_id}")
    head = table.locator("th").evaluate_all("(heads) => heads.map((head) => head.dataset.key)")
    rows = table.locator("tbody tr").evaluate_all(
        "(rows) => rows.map((row) => Array.from(row.cells, (cell) => cell.dataset.value))"
    )
    return head, rows


def test_a_name_with_commas_and_quotes_comes_through(browser: Browser, broken, tmp_path: Path) -> None:
    strange = 'a "b", c\nd'
    written = broken(r'(<td[^>]*? data-value=")[^"]*"', r'\g<1>a &quot;b&quot;, c&#10;d"')
    with opened(browser, written, DESKTOP) as seen:
        seen.open_all_tables()
        with seen.page.expect_download() as download:
            seen.page.locator("button.download").first.click()
        download.value.save_as(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as stream:
        assert any(strange in row for row in csv.reader(stream))


def test_in_print_everything_is_open_and_light(browser: Browser, path: Path) -> None:
    with opened(browser, path, DESKTOP, "dark") as seen:
        page = seen.page
        page.emulate_media(media="print")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        assert not page.locator("nav").is_visible()
        page.set_viewport_size({"width": A4, "height": 1000})
        assert overflow(seen) == 0
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 37, 48)"
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("details:not([open])").count() > 0


def test_without_script_it_reads_as_well(browser: Browser, broken) -> None:
    with opened(browser, broken(r"<script>[\s\S]*</script>", ""), DESKTOP) as seen:
        seen.open_all_tables()
        assert seen.page.locator("tbody tr").count() > 0
        assert not seen.page.locator("button.download").first.is_visible()


# Pages that are broken on purpose: what the checks above rest on.


def test_a_missing_description_is_found(browser: Browser, broken) -> None:
    with opened(browser, broken(r'(<svg role="img") aria-label="[^"]*"', r"\1"), DESKTOP) as seen:
        assert any(found.startswith("svg-img-alt") for found in violations(seen))


def test_faint_text_is_found(browser: Browser, broken) -> None:
    with opened(browser, broken(r"--muted: #566373", "--muted: #b9c2cc"), DESKTOP) as seen:
        assert any(found.startswith("color-contrast") for found in violations(seen))


def test_a_page_that_is_too_wide_is_found(browser: Browser, broken) -> None:
    with opened(
        browser,
        broken(r"\.scroll \{ overflow-x: auto; max-height: 34rem; overflow-y: auto;", ".scroll {"),
        PHONE,
    ) as seen:
        seen.open_all_tables()
        assert overflow(seen) > 0


def test_an_error_in_a_script_is_found(browser: Browser, broken) -> None:
    with opened(browser, broken(r'"use strict";', '"use strict"; nothing.at.all();'), DESKTOP) as seen:
        assert any("nothing is not defined" in complaint for complaint in seen.complaints)


def test_a_request_is_found_and_refused(browser: Browser, broken) -> None:
    written = broken(r"<header>", '<header><img src="picture.png" alt="">')
    with opened(browser, written, DESKTOP) as seen:
        assert requests_elsewhere(seen, written) != [] or any("picture.png" in c for c in seen.complaints)
        assert any("Content Security Policy" in complaint for complaint in seen.complaints)


def test_numbers_sorted_as_text_are_found(browser: Browser, broken) -> None:
    written = broken(r"numeric \? Number\(a\) - Number\(b\) :", "false ? 0 :")
    written.write_text(written.read_text().replace(", { numeric: true }", ""))
    with opened(browser, written, DESKTOP) as seen:
        seen.open_all_tables()
        with pytest.raises(AssertionError):
            check_all_sorts(seen.page)


@pytest.mark.parametrize(
    ("values", "numeric", "down", "right"),
    [
        (["9", "10", ""], True, False, True),
        (["9", "10", ""], False, False, False),
        (["10", "9"], True, False, False),
        (["10", "9"], True, True, True),
        (["", "9"], True, False, False),
    ],
)
def test_order_is_judged_rightly(values: list[str], numeric: bool, down: bool, right: bool) -> None:
    assert is_sorted(values, numeric=numeric, down=down) is right
