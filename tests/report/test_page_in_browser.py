"""The page as a reader meets it: a real browser without network, a mouse, a finger, a keyboard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from tests.browser import Page, chromium
from tests.report import example_page as example
from textmetric.report.blocks import Document
from textmetric.report.formats import cell_text
from textmetric.report.page import SplitMap, write_page

TARGET = example.split_map()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    example.write_picture(folder)
    write_page(folder / "page.html", example.document(), example.maps(), root=folder)
    with chromium() as browser:
        yield Page(browser, folder / "page.html")


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The page, loaded again; no test may cause a request or a complaint."""
    opened.log()
    opened.requests()
    opened.open()
    yield opened
    assert opened.log() == []
    assert set(opened.requests()) <= {f"file://{opened.path}"}
    assert opened.run("return window.broken") is None


def near(found: tuple[float, float] | None, expected: tuple[float, float]) -> bool:
    return found is not None and bool(np.allclose(found, expected, atol=0.004))


def highlighted(page: Page, kind: int, seed: int = 0) -> list[bool]:
    """Of each panel: whether the dots of a class are full, and all others faint."""
    found = []
    for arm in range(len(example.ARMS)):
        panel = page.panel(arm)
        opacity = [page.colour(panel, example.place(TARGET, arm, seed, row))[3] for row in range(8)]
        found.append(all((a > 150) == (row % 4 == kind) for row, a in enumerate(opacity)))
    return found


def test_the_numbers_are_those_given(page: Page) -> None:
    given = [list(map(cell_text, row)) for row in example.table().rows]
    shown = page.texts("#table-1 tbody th, #table-1 tbody td")
    for words in ("**", "`", "[", "](#maps)"):
        given = [[text.replace(words, "") for text in row] for row in given]
    assert shown == [text for row in given for text in row]


def test_pointing_at_a_dot_shows_its_text_and_marks_it_in_every_panel(page: Page) -> None:
    for arm, row in ((0, 7), (3, 42)):
        panel = page.panel(arm)
        page.over(panel, example.place(TARGET, arm, 0, row)).perform()
        page.wait("return !document.querySelector('.tip').hidden")
        scarce = " (scarce)" if row % 4 == 1 else ""
        assert page.texts(".tip b, .tip span") == [f"class {row % 4}{scarce}", f"text {row}"]
        for other, shown in enumerate(page.all("figure.map .plot")[:4]):
            place_of = int(shown.get_attribute("data-arm") or other)
            assert near(page.ring(shown), example.place(TARGET, place_of, 0, row))
    page.over(page.panel(0), (0.5, 0.001)).perform()
    page.wait("return document.querySelector('.tip').hidden")


def test_a_text_that_looks_like_markup_is_shown_as_it_is(page: Page) -> None:
    page.over(page.panel(0), example.place(TARGET, 0, 0, 0)).perform()
    page.wait("return !document.querySelector('.tip').hidden")
    assert page.texts(".tip span") == [example.NASTY]
    page.over(page.panel(0), example.place(TARGET, 0, 0, 1)).perform()
    assert page.texts(".tip b, .tip span") == ["class 1 (scarce)", "(no text)"]


def test_a_click_on_a_dot_highlights_its_class_in_every_panel(page: Page) -> None:
    panel = page.panel(2)
    page.over(panel, example.place(TARGET, 2, 0, 6)).click().perform()
    assert highlighted(page, 2) == [True] * 4
    pressed = [button.get_attribute("aria-pressed") for button in page.all(".legend button")[:4]]
    assert pressed == ["false", "false", "true", "false"]
    page.over(page.panel(2), example.place(TARGET, 2, 0, 10)).click().perform()
    assert highlighted(page, 2) == [False] * 4


def test_a_click_on_a_class_highlights_it_until_escape(page: Page) -> None:
    page.panel(0)
    button = page.all(".legend button")[1]
    button.click()
    assert highlighted(page, 1) == [True] * 4
    page.run("arguments[0].focus({preventScroll: true})", button)
    page.press(Keys.ESCAPE)
    assert highlighted(page, 1) == [False] * 4
    assert button.get_attribute("aria-pressed") == "false"


def test_many_classes_are_filtered_by_typing(page: Page) -> None:
    page.panel(0, 1)
    search = page.one("[data-map=source] .legend input")
    search.send_keys("CLASS 31")
    shown = [b for b in page.all("[data-map=source] .legend button") if b.is_displayed()]
    assert [button.text.split("\n")[0] for button in shown] == ["class 31"]
    assert page.all("[data-map=target] .legend input") == []


def test_a_seed_shows_its_numbers_and_its_maps(page: Page) -> None:
    Select(page.one("select[name=seed]")).select_by_visible_text("seed 2")
    assert page.texts("#table-1 tbody tr:first-child td")[1:5] == [
        "0.800",
        "0.920",
        "1.000",
        "1.100",
    ]
    panel = page.panel(1)
    page.over(panel, example.place(TARGET, 1, 1, 20)).perform()
    page.wait("return !document.querySelector('.tip').hidden")
    assert page.texts(".tip span") == ["text 20"]
    assert page.texts("[data-map=target] .which-seed") == ["The maps of seed 2."]

    Select(page.one("select[name=seed]")).select_by_visible_text("seed 1")
    assert set(page.texts("#table-1 tbody tr:first-child td")[1:5]) == {"–"}
    said = "Seed 1 has no map: these are of seed 0."
    assert page.texts("[data-map=target] .which-seed") == [said]

    Select(page.one("select[name=seed]")).select_by_visible_text("mean of all seeds")
    assert page.texts("#table-1 tbody tr:first-child td")[1] == "0.500 ± 0.010"


def test_a_sampler_that_is_off_takes_its_columns_and_panels_along(page: Page) -> None:
    page.one("input[name=sampler][value=shuffled]").click()
    heads = [head.text for head in page.all("#table-1 thead th") if head.is_displayed()]
    assert heads == [
        "split",
        "rows",
        "cls_balanced, MAP@R ↑",
        "metric_balanced, MAP@R ↑",
        "words",
    ]
    cells = [cell for cell in page.all("#table-1 tbody tr:first-child td") if cell.is_displayed()]
    assert len(cells) == 4
    panels = page.all("[data-map=target] .plot")
    shown = [panel.get_attribute("data-arm") for panel in panels if panel.is_displayed()]
    assert shown == ["1", "3"]
    page.one("input[name=sampler][value=shuffled]").click()
    assert all(panel.is_displayed() for panel in panels)


def names(page: Page) -> list[str]:
    return page.texts("#table-1 tbody th")


def test_a_table_is_sorted_by_a_click_or_by_enter(page: Page) -> None:
    given = names(page)
    heads = page.all("#table-1 thead th")
    buttons = page.all("#table-1 thead button")
    by_rows, by_cls, by_metric = buttons[1], buttons[2], buttons[4]
    by_rows.click()
    assert names(page) == ["target-scarce-10", "target-scarce-2", "target"]
    assert heads[1].get_attribute("aria-sort") == "descending"
    by_rows.click()
    assert names(page) == ["target", "target-scarce-2", "target-scarce-10"]
    by_rows.click()
    assert names(page) == given
    assert heads[1].get_attribute("aria-sort") == "none"

    page.run("arguments[0].focus()", by_cls)
    page.press(Keys.ENTER)
    assert names(page) == ["target-scarce-10", "target-scarce-2", "target"]
    for order in ("descending", "ascending"):
        by_metric.click()
        assert heads[4].get_attribute("aria-sort") == order
        assert names(page)[-1] == "target-scarce-10"  # it has no value
    buttons[0].click()
    assert names(page) == ["target", "target-scarce-2", "target-scarce-10"]


def test_a_sorted_table_stays_sorted_when_the_seed_changes(page: Page) -> None:
    page.all("#table-1 thead button")[2].click()
    assert names(page) == ["target-scarce-10", "target-scarce-2", "target"]
    Select(page.one("select[name=seed]")).select_by_visible_text("seed 2")
    assert names(page) == ["target", "target-scarce-10", "target-scarce-2"]


def tabbed_to(page: Page, selector: str) -> WebElement:
    """Press tab until something that matches has the focus."""
    for _ in range(80):
        page.press(Keys.TAB)
        if page.run("return document.activeElement.matches(arguments[0])", selector):
            element: WebElement = page.run("return document.activeElement")
            return element
    raise AssertionError(f"the tab key never comes to {selector}")


def test_the_keyboard_alone_reads_highlights_and_zooms(page: Page) -> None:
    panel = tabbed_to(page, "[data-map=target] .plot")
    outline = page.run("return getComputedStyle(arguments[0]).outlineStyle", panel)
    assert outline == "solid"
    page.press(Keys.ARROW_RIGHT)
    first = page.ring(panel)
    assert first is not None
    page.press(Keys.ARROW_RIGHT)
    second = page.ring(panel)
    assert second is not None
    assert second[0] > first[0]
    assert second[1] == pytest.approx(first[1], abs=0.004)
    row = next(row for row in range(64) if near(second, example.place(TARGET, 0, 0, row)))
    assert page.texts(".tip b") == [f"class {row % 4}" + " (scarce)" * (row % 4 == 1)]
    assert f"text {row}" in page.one("[data-map=target] .said").get_attribute("textContent")

    page.press(Keys.ENTER)
    assert highlighted(page, row % 4) == [True] * 4
    page.run("arguments[0].focus()", page.panel(0))
    page.press(Keys.ARROW_LEFT, "+")
    page.wait("return arguments[0].classList.contains('zoomed')", panel)
    page.wait(
        "const [tip, ring] = [document.querySelector('.tip'), arguments[0].querySelector('.ring')]"
        ".map((element) => element.getBoundingClientRect());"
        "const gap = Math.max(ring.top - tip.bottom, tip.top - ring.bottom);"
        "return gap > 0 && gap < 12",  # above the dot, or below it
        panel,
    )
    page.press("0")
    page.wait("return !arguments[0].classList.contains('zoomed')", panel)
    page.press(Keys.ESCAPE)
    assert highlighted(page, row % 4) == [False] * 4


def test_the_legend_is_one_stop_and_arrows_go_through_it(page: Page) -> None:
    first = tabbed_to(page, "[data-map=target] .legend button")
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ENTER)
    pressed = [button.get_attribute("aria-pressed") for button in page.all(".legend button")[:4]]
    assert pressed == ["false", "false", "true", "false"]
    page.press(Keys.TAB)
    assert page.run("return document.activeElement.className") == "plot"
    assert first.get_attribute("tabindex") == "-1"


def test_the_wheel_scrolls_the_page_until_a_panel_is_clicked(page: Page) -> None:
    panel = page.panel(0)
    origin = ScrollOrigin.from_element(panel)
    before = page.run("return scrollY")
    ActionChains(page.browser).scroll_from_origin(origin, 0, 80).perform()
    page.wait("return scrollY > arguments[0] + 50", before)
    assert "zoomed" not in panel.get_attribute("class")

    panel = page.panel(0)
    before = page.run("return scrollY")
    page.over(panel, (0.5, 0.5)).click().perform()
    ActionChains(page.browser).scroll_from_origin(origin, 0, -300).perform()
    page.wait("return arguments[0].classList.contains('zoomed')", panel)
    assert page.run("return scrollY") == before
    reset = page.one("[data-map=target] .reset:not([hidden])")
    reset.click()
    page.wait("return !arguments[0].classList.contains('zoomed')", panel)


def test_a_drag_moves_a_zoomed_map_and_a_double_click_resets_it(page: Page) -> None:
    panel = page.panel(0)
    width = page.run("return arguments[0].clientWidth", panel)
    page.run("arguments[0].focus()", panel)
    page.press("+", "+")
    page.over(panel, (0.3, 0.3)).click_and_hold().move_by_offset(40, 25).release().perform()
    # The middle of the map stayed in the middle, then all moved with the mouse.
    moved: dict[int, tuple[float, float]] = {}
    for row in range(2, 64):
        x, y = ((share - 0.5) * 1.5**2 + 0.5 for share in example.place(TARGET, 0, 0, row))
        moved[row] = (x + 40 / width, y + 25 / width)
    row = min(moved, key=lambda row: abs(moved[row][0] - 0.5) + abs(moved[row][1] - 0.5))
    page.over(panel, moved[row]).perform()
    page.wait("return !document.querySelector('.tip').hidden")
    assert page.texts(".tip span") == [f"text {row}"]
    assert near(page.ring(panel), moved[row])
    page.over(panel, (0.01, 0.01)).double_click().perform()
    page.wait("return !arguments[0].classList.contains('zoomed')", panel)


def test_two_fingers_zoom_and_one_does_not(page: Page) -> None:
    page.open(360, 740, phone=True)
    panel = page.panel(0)
    left, top, width = page.run(
        "const b = arguments[0].getBoundingClientRect(); return [b.left, b.top, b.width]", panel
    )
    middle = (left + width / 2, top + width / 2)

    def touch(kind: str, *reaches: float) -> None:
        points = [
            {"x": middle[0] + reach, "y": middle[1], "id": place}
            for place, reach in enumerate(reaches)
        ]
        page.cdp("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    touch("touchStart", 30)
    touch("touchMove", 60)
    touch("touchEnd")
    assert "zoomed" not in panel.get_attribute("class")
    touch("touchStart", -20, 20)
    for reach in (30, 45, 60):
        touch("touchMove", -reach, reach)
    touch("touchEnd")
    page.wait("return arguments[0].classList.contains('zoomed')", panel)


def luminance(page: Page, selector: str) -> float:
    colour = page.run(
        "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor", selector
    )
    parts = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    return sum(parts) / 3


def test_the_page_is_dark_when_the_system_is_and_the_button_turns_it(page: Page) -> None:
    assert luminance(page, "body") > 200
    page.media(theme="dark")
    page.wait("return document.documentElement.hasAttribute('data-dark')")
    assert luminance(page, "body") < 60
    assert luminance(page, ".plot") < 60
    assert luminance(page, ".picture img") == 255
    page.one(".theme").click()
    assert luminance(page, "body") > 200
    assert page.one(".theme").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_the_page_never_scrolls_sideways(page: Page, width: int) -> None:
    page.open(width, 740, phone=width == 360)
    root = page.run("const r = document.documentElement; return [r.scrollWidth, r.clientWidth]")
    assert root[0] == root[1]
    if width == 360:
        box = page.one("#table-1 .table")
        assert page.run("return arguments[0].scrollWidth > arguments[0].clientWidth", box)
        assert box.get_attribute("tabindex") == "0"
        lefts = {panel.rect["x"] for panel in page.all("[data-map=target] .plot")}
        assert len(lefts) == 1  # below each other
        # The names of the rows stay where they are when the box is scrolled.
        name = page.one("#table-1 tbody th")
        before = name.rect["x"]
        page.run("arguments[0].scrollLeft = 200", box)
        assert name.rect["x"] == before


def test_on_a_phone_the_contents_open_and_close(page: Page) -> None:
    page.open(360, 740, phone=True)
    link = page.one("nav a[href='#end']")
    assert not link.is_displayed()
    page.one(".side summary").click()
    assert link.is_displayed()
    link.click()
    page.wait("return location.hash === '#end' && scrollY > 300")
    assert not link.is_displayed()


def test_the_contents_follow_the_reader(page: Page) -> None:
    page.one("nav a[href='#map-source']").click()
    page.wait(
        "return document.querySelector('nav a[aria-current]')?.getAttribute('href')"
        " === '#map-source'"
    )
    assert page.run("return location.hash") == "#map-source"


def test_on_paper_the_pictures_stand_for_the_maps(page: Page) -> None:
    assert not page.one("[data-map=target] .paper").is_displayed()
    page.media("print", theme="dark")
    assert page.one("[data-map=target] .paper").is_displayed()
    assert not page.one("[data-map=target] .screen").is_displayed()
    assert not page.one(".controls").is_displayed()
    assert luminance(page, "body") == 255


@pytest.mark.parametrize("without", ["webgl", ""])
def test_dots_are_drawn_where_they_are_with_and_without_webgl(page: Page, without: str) -> None:
    script = page.cdp(
        "Page.addScriptToEvaluateOnNewDocument",
        source="const get = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        f"return kind === '{without}' ? null : get.call(this, kind, ...rest); }}",
    )
    try:
        page.open()
        panel = page.panel(3)
        assert panel.get_attribute("data-drawn-by") == ("canvas" if without else "webgl")
        for row in range(64):
            colour = page.colour(panel, example.place(TARGET, 3, 0, row))
            assert colour[3] > 150
            # class 1 is scarce: red
            assert (colour[0] > 150 and max(colour[1:3]) < 90) == (row % 4 == 1)
        assert page.colour(panel, (0.001, 0.001))[3] == 0
        page.all(".legend button")[3].click()
        assert highlighted(page, 3) == [True] * 4
    finally:
        page.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])


def test_many_maps_share_one_context(opened: Page, tmp_path: Path) -> None:
    splits = tuple(f"split-{place}" for place in range(6))
    example.write_picture(tmp_path)
    maps = {split: example.split_map(split) for split in splits}
    write_page(tmp_path / "page.html", example.document(splits), maps, root=tmp_path)
    page = Page(opened.browser, tmp_path / "page.html")
    page.log()
    page.open()
    for place in range(len(splits)):
        for arm in range(4):
            assert page.panel(arm, place).get_attribute("data-drawn-by") == "webgl"
    # A panel that was left gives its memory back, and is drawn again on return.
    assert page.run("return document.querySelector('.plot canvas').width") == 0
    page.panel(0, 0)
    # Browsers complain in the log about contexts beyond their limit.
    assert page.log() == []


def test_a_lost_context_costs_speed_and_not_the_map(page: Page) -> None:
    script = page.cdp(
        "Page.addScriptToEvaluateOnNewDocument",
        source="const get = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        " const context = get.call(this, kind, ...rest);"
        " if (kind === 'webgl') window.losing = context.getExtension('WEBGL_lose_context');"
        " return context; }",
    )
    try:
        page.open()
        panel = page.panel(0)
        page.run("window.losing.loseContext()")
        page.wait(
            "document.querySelector('.legend button').click();"
            "return arguments[0].dataset.drawnBy === 'canvas'",
            panel,
        )
        page.run("window.losing.restoreContext()")
        page.wait("return arguments[0].dataset.drawnBy === 'webgl'", panel)
        assert page.colour(panel, example.place(TARGET, 0, 0, 0))[3] > 150
    finally:
        page.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])


def test_sixty_thousand_dots_answer(
    opened: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, classes = 60_000, 219
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 1, classes, 2)) * 10
    labels = rng.integers(classes, size=rows)
    big = SplitMap(
        split="target",
        arms=example.ARMS,
        seeds=[0],
        coordinates=(centres[:, :, labels] + rng.normal(size=(4, 1, rows, 2))).astype(np.float32),
        labels=labels,
        label_names=[f"class {label}" for label in range(classes)],
        scarce=[5],
        texts=[f"the text of row {row}, " + "word " * 20 for row in range(rows)],
    )
    example.write_picture(tmp_path)
    path = tmp_path / "page.html"
    write_page(path, example.document(("target",)), {"target": big}, root=tmp_path)
    page = Page(opened.browser, path)
    started = time.perf_counter()
    page.open()
    loaded = time.perf_counter()
    panel = page.panel(0)
    drawn = time.perf_counter()
    row = int(np.argmin(big.coordinates[0, 0, :, 0]))  # on the left rim
    page.over(panel, example.place(big, 0, 0, row)).perform()
    page.wait("return !document.querySelector('.tip').hidden")
    pointed = time.perf_counter()
    assert page.texts(".tip span")[0].startswith("the text of row ")
    page.over(panel, (0.5, 0.5)).perform()
    again = time.perf_counter()
    page.all(".legend button")[0].click()
    page.run("return document.querySelector('.plot canvas').getContext('2d').getImageData(0,0,1,1)")
    chosen = time.perf_counter()
    with capsys.disabled():
        print(
            f"\n{rows:,} dots x 4: {path.stat().st_size / 1e6:.1f} MB, loaded in "
            f"{loaded - started:.2f} s, drawn after {drawn - loaded:.2f} s, first hover "
            f"{pointed - drawn:.2f} s, next {again - pointed:.2f} s, highlight "
            f"{chosen - again:.2f} s"
        )
    assert page.log() == []


def test_a_report_without_maps_or_tables_has_no_error(opened: Page, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", Document("Nothing", [], [], []), {}, root=tmp_path)
    page = Page(opened.browser, tmp_path / "page.html")
    page.log()
    page.open()
    page.one(".theme").click()
    assert page.log() == []
