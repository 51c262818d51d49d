from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.report import example_page as example
from textmetric.errors import UserError
from textmetric.grid import ARMS
from textmetric.report.blocks import (
    Column,
    Count,
    Document,
    Effect,
    Map,
    Mean,
    Picture,
    PValue,
    Section,
    Table,
)
from textmetric.report.page import SplitMap, write_page
from textmetric.report.page.maps import TextPool, looks, packed, quantised


class Reader(HTMLParser):
    """Every element of a page, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.elements[-1] if self.elements else ("", {})
        if tag == "script":
            self.scripts.setdefault(attributes.get("id", ""), data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(folder: Path, document: Document, maps: dict[str, SplitMap] | None = None) -> str:
    example.write_picture(folder)
    write_page(folder / "page.html", document, maps or {}, root=folder)
    return (folder / "page.html").read_text(encoding="utf-8")


def one_section(*blocks: object) -> Document:
    return Document("t", [Section("s", "s", list(blocks))], [0, 1], ["shuffled"])  # type: ignore[arg-type]


def test_nothing_is_loaded_from_outside(tmp_path: Path) -> None:
    page = page_of(tmp_path, example.document(), example.maps())
    for tag, attributes in Reader(page).elements:
        for name in ("src", "href", "srcset", "data", "poster", "action", "style"):
            value = attributes.get(name, "")
            assert tag == "a" or not value or value.startswith("data:"), (tag, name, value[:80])
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page


def test_the_policy_allows_this_script_and_style_alone(tmp_path: Path) -> None:
    page = page_of(tmp_path, example.document(), example.maps())
    for part in ("script", "style"):
        text = re.findall(rf"<{part}>(.*?)</{part}>", page, re.DOTALL)
        assert len(text) == 1
        digest = base64.b64encode(hashlib.sha256(text[0].encode()).digest()).decode()
        assert f"{part}-src 'sha256-{digest}'" in page


def test_same_input_gives_same_bytes(tmp_path: Path) -> None:
    pages = [page_of(tmp_path, example.document(), example.maps()) for _ in range(2)]
    assert pages[0] == pages[1]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_no_text_of_the_data_becomes_markup(tmp_path: Path) -> None:
    nasty = example.NASTY
    one = replace(
        example.split_map(nasty),
        label_names=[nasty, "b", "c", "d"],
    )
    document = Document(
        nasty,
        [
            Section(
                "s",
                nasty,
                [
                    nasty,
                    Table([Column(nasty), Column("b")], [[nasty, nasty]]),
                    Map(nasty, Picture("figure.png", nasty)),
                    "[x](javascript:alert(1)) ![y](https://example.org/y.png) <https://x.org>",
                ],
            )
        ],
        [0],
        ["shuffled", "balanced"],
    )
    read = Reader(page_of(tmp_path, document, {nasty: one}))
    assert [script.get("id") for script in read.all("script")] == [
        f"page_map_{nasty}",
        "page_texts",
        None,
    ]
    assert [image for image in read.all("img") if not image["src"].startswith("data:")] == []
    assert [name for _, had in read.elements for name in had if name.startswith("on")] == []
    links = [link["href"] for link in read.all("a")]
    assert [link for link in links if not link.startswith(("#", "https://"))] == []
    assert json.loads(read.scripts["page_texts"])[0] == nasty
    assert json.loads(read.scripts[f"page_map_{nasty}"])["looks"][0][2] == nasty


def test_a_class_name_shows_what_would_act_instead_of_being_seen(tmp_path: Path) -> None:
    names = ["\u202eabc\n", "\x1b[1m\x00", "中文", "می\u200cخواهم"]
    one = replace(example.split_map(), label_names=names)
    page = page_of(tmp_path, one_section(Map("target", Picture("figure.png", ""))), {"target": one})
    looks = json.loads(Reader(page).scripts["page_map_target"])["looks"]
    assert [look[2] for look in looks] == ["\\u202eabc\\n", "\\x1b[1m\\x00", *names[2:]]
    assert "\u202e" not in page


@pytest.mark.parametrize(
    "text",
    ["", "</script>", "<!-- <script>", 'a "quoted" \\ one', "日本語 🎈 \u2028 \u0000", "a\n\tb"],
)
def test_any_text_comes_back_as_it_is_but_for_its_spaces(tmp_path: Path, text: str) -> None:
    one = replace(example.split_map(), texts=[text] * example.SIDE**2)
    document = one_section(Map("target", Picture("figure.png", "")))
    page = page_of(tmp_path, document, {"target": one})
    assert json.loads(Reader(page).scripts["page_texts"]) == [" ".join(text.split())]


def test_half_of_a_surrogate_pair_does_not_stop_the_page(tmp_path: Path) -> None:
    one = replace(example.split_map(), texts=["\ud83d"] * example.SIDE**2)
    document = one_section(Map("target", Picture("figure.png", "")))
    page = page_of(tmp_path, document, {"target": one})
    assert json.loads(Reader(page).scripts["page_texts"]) == ["?"]


def test_a_missing_picture_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.png cannot be read.*run the stage"):
        page_of(tmp_path, one_section(Picture("absent.png", "")))
    assert not (tmp_path / "page.html").exists()


def test_a_picture_that_is_no_png_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("version https://git-lfs")
    with pytest.raises(UserError, match=r"a\.png is not a PNG: draw it again"):
        page_of(tmp_path, one_section(Picture("a.png", "")))


def test_a_split_without_a_map_keeps_its_picture(tmp_path: Path) -> None:
    read = Reader(page_of(tmp_path, one_section(Map("target", Picture("figure.png", "dots")))))
    assert [image["alt"] for image in read.all("img")] == ["dots"]
    assert read.all("canvas") == []


def test_a_picture_tells_its_size(tmp_path: Path) -> None:
    image = Reader(page_of(tmp_path, one_section(Picture("figure.png", "dots")))).all("img")[0]
    assert (image["width"], image["height"]) == ("3", "2")
    data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert data == (tmp_path / "figure.png").read_bytes()


def test_a_map_that_is_shown_twice_is_held_once(tmp_path: Path) -> None:
    block = Map("target", Picture("figure.png", ""))
    page = page_of(tmp_path, one_section(block, block), {"target": example.split_map()})
    assert page.count('id="page_map_target"') == 1
    ids = [attributes["id"] for _, attributes in Reader(page).elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_markdown_of_paragraphs_lists_and_cells_is_set(tmp_path: Path) -> None:
    page = page_of(tmp_path, example.document(), example.maps())
    assert '<strong>weight</strong> and a <a href="#maps">link to the maps</a>' in page
    assert "<li>one</li>\n<li>two</li>" in page
    assert "<span><code>a</code></span>" in page
    assert "<h1>Results of <em>both</em></h1>" in page
    assert "<title>Results of both</title>" in page


def test_every_link_inside_leads_to_a_section(tmp_path: Path) -> None:
    read = Reader(page_of(tmp_path, example.document(), example.maps()))
    known = {f"#{attributes['id']}" for _, attributes in read.elements if "id" in attributes}
    assert {link["href"] for link in read.all("a") if link["href"].startswith("#")} <= known
    assert [a["href"] for a in read.all("a") if a["href"].startswith("#map-")] == [
        "#map-target",
        "#map-source",
    ]


def test_a_seed_shows_three_decimals_and_a_dash_for_no_value(tmp_path: Path) -> None:
    cells = [
        Mean((0.5, 0.4, 0.6), (0.0625, None)),
        Mean((np.float64(-0.2), None, None), (np.float64(0.5), math.nan)),
        Mean((math.nan, math.nan, math.nan), (0.5,)),
        Effect(-math.inf),
    ]
    table = Table([Column("arm"), *[Column("x")] * 4], [["a", *cells]])
    read = Reader(page_of(tmp_path, one_section(table))).all("td")
    assert [cell.get("data-value") for cell in read] == ["0.5", "-0.2", None, "-Infinity"]
    shown = [cell["data-seeds"] for cell in read if "data-seeds" in cell]
    assert [json.loads(text) for text in shown] == [["0.062", "–"], ["0.500", "–"]]


def test_columns_of_numbers_are_on_the_right(tmp_path: Path) -> None:
    table = Table(
        [Column(str(place)) for place in range(6)],
        [
            ["1", Count(1200), None, Effect(1.0), PValue(0.5), "no 5"],
            ["2", None, Mean((0.5, 0.4, 0.6)), Effect(2.0), PValue(math.nan), None],
        ],
    )
    heads = Reader(page_of(tmp_path, one_section(table))).all("th")[:6]
    assert [head.get("class") for head in heads] == [None, *["number"] * 4, None]


def test_coordinates_keep_their_proportions_in_a_square() -> None:
    steps = quantised(np.array([[0, 0], [10, 5], [10, 0]], dtype=np.float32)).astype(int)
    assert steps.min() >= 0
    assert steps.max() <= 65_535
    width, height = np.ptp(steps, axis=0)
    assert width == pytest.approx(2 * height, abs=2)
    assert steps[0, 0] + steps[1, 0] == pytest.approx(65_535, abs=2)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_dots_without_spread_are_in_the_middle(rows: int) -> None:
    steps = quantised(np.full((rows, 2), 7.5, dtype=np.float32))
    assert steps.shape == (rows, 2)
    assert set(steps.ravel().tolist()) <= {32_767, 32_768}


def test_packed_data_reads_back() -> None:
    one, pool = example.split_map(), TextPool()
    data = packed(one, pool)
    classes = np.frombuffer(base64.b64decode(data["classes"]), dtype="<u4")
    np.testing.assert_array_equal(classes, one.labels)
    places = np.frombuffer(base64.b64decode(data["texts"]), dtype="<u4")
    assert [pool.texts[place] for place in places][2:] == list(one.texts[2:])
    points = np.frombuffer(base64.b64decode(data["points"][3][1]), dtype="<u2").reshape(-1, 2)
    np.testing.assert_array_equal(points, quantised(one.coordinates[3, 1]))


def test_texts_are_shared_by_maps_and_long_ones_are_clipped() -> None:
    pool = TextPool()
    assert pool.places(["a", "b" * 301]).tolist() == [0, 1]
    assert pool.places(["b" * 400, "a", "c"]).tolist() == [1, 0, 2]
    assert pool.texts == ["a", "b" * 299 + "…", "c"]


def test_classes_look_as_in_the_figure() -> None:
    few = looks(replace(example.split_map(), scarce=(2,)))
    assert [look.shape for look in few] == ["circle", "square", "triangle", "circle"]
    assert few[2].colour == "#D62728"
    assert [look.dots for look in few] == [16] * 4
    # A class keeps its colour when another one is scarce.
    other = looks(replace(example.split_map(), scarce=(1,)))
    assert [few[place].colour for place in (0, 3)] == [other[place].colour for place in (0, 3)]


def test_of_hundreds_of_classes_hardly_two_have_the_same_colour() -> None:
    one = replace(
        example.split_map(),
        coordinates=np.zeros((4, 2, 219, 2), dtype=np.float32),
        labels=np.arange(219),
        label_names=list(map(str, range(219))),
        scarce=(),
        texts=[""] * 219,
    )
    assert len({look.colour for look in looks(one)}) > 210


def test_a_class_without_dots_is_not_in_the_legend() -> None:
    one = replace(example.split_map(), labels=np.full(64, 3))
    assert [look.name for look in looks(one)] == ["class 3"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ARMS[:1]}, r"expected \(arms, seeds, n, 2\) = \(1, 2, 64, 2\)"),
        ({"texts": ["a"]}, "1 texts for 64 dots"),
        ({"coordinates": np.full((4, 2, 64, 2), np.nan)}, "not finite"),
    ],
)
def test_a_map_whose_parts_do_not_agree_is_an_error(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(example.split_map(), **change)  # type: ignore[arg-type]


def test_a_report_without_anything_is_a_page(tmp_path: Path) -> None:
    read = Reader(page_of(tmp_path, Document("Nothing", [], [], [])))
    assert read.all("select") == []
    assert json.loads(read.scripts["page_texts"]) == []


def test_panels_are_ordered_by_sampler_and_family(tmp_path: Path) -> None:
    one = replace(
        example.split_map(),
        arms=[ARMS[0], ARMS[3], ARMS[2]],
        coordinates=example.coordinates(3, 2),
    )
    document = one_section(Map("target", Picture("figure.png", "")))
    page = page_of(tmp_path, document, {"target": one})
    rows = re.findall(r'<div class="panels"(.*?)\n</div>', page, re.DOTALL)
    arms = [re.findall(r'data-arm="(\d)"|(<div></div>)', row) for row in rows]
    assert arms == [
        [("0", ""), ("2", "")],
        [("", "<div></div>"), ("1", "")],
    ]
