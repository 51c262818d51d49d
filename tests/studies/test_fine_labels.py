"""Fine labels inside of the coarse ones that were trained on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies import fine_labels, inside
from textmetric.errors import UserError
from textmetric.params import Data

ROOT = Path(__file__).parents[2]
WORDS = {"plant": ("oak", "fern", "moss"), "metal": ("iron", "zinc", "lead")}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Each fine label is a word of its own, and each coarse one another word that all share."""
    rng = np.random.default_rng(0)
    rows = [
        {"text": f"{coarse} {fine} {' '.join(rng.choice(list('abcdefgh'), 3))} {row}"}
        | {"coarse": coarse, "fine": fine}
        for coarse, words in WORDS.items()
        for fine in words
        for row in range(30)
    ]
    path = tmp_path / "both.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def plain_map_at_r(rows: np.ndarray, labels: np.ndarray) -> list[float]:
    """MAP@R of each row by its definition."""
    found = []
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for query in range(len(rows)):
        order = sorted(
            (i for i in range(len(rows)) if i != query), key=lambda i: -unit[query] @ unit[i]
        )
        right = [labels[i] == labels[query] for i in order]
        size = sum(right)
        found.append(
            sum(sum(right[: k + 1]) / (k + 1) for k in range(size) if right[k]) / size
            if size
            else math.nan
        )
    return found


def test_inside_of_a_label_its_rows_alone_are_found() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(24, 4)).astype(np.float32)
    labels, fine = np.repeat([0, 1, 2], 8), np.repeat([0, 1, 2, 3, 4], [4, 4, 5, 3, 8])
    found = inside.measured(rows, labels, fine)
    # the third label has one fine label, so that there is nothing to find inside
    expected = [
        value
        for label in (0, 1)
        for value in plain_map_at_r(rows[labels == label], fine[labels == label])
    ]
    assert found["inside_map_at_r"] == pytest.approx(np.mean(expected))
    assert found["map_at_r"] == pytest.approx(np.mean(plain_map_at_r(rows, labels)))
    alone = inside.measured(rows, labels, labels)
    assert math.isnan(alone["inside_map_at_r"])
    assert math.isnan(alone["inside_recall_at_1"])


def test_both_labels_of_each_test_text_are_right(table: Path) -> None:
    source = fine_labels.read_source(
        {"path": str(table), "coarse": "coarse", "fine": "fine"}, Data()
    )
    test = source.coarse.test
    names = np.array(source.coarse.label_names)[test.labels]
    fine = np.array(source.by_fine.label_names)[source.fine]
    assert {(str(a), str(b)) for a, b in zip(names, fine, strict=True)} == {
        (coarse, word) for coarse, words in WORDS.items() for word in words
    }
    known = source.coarse.vocabulary.tokens
    for row, word in enumerate(fine):
        start, end = test.tokens.offsets[row : row + 2]
        assert word in {known[token] for token in test.tokens.ids[start:end]}


def program(table: Path, *options: str) -> str:
    out = table.parent / "out"
    words = ["--corpora", f"{{path: {table}, coarse: coarse, fine: fine}}", "--epochs", "3"]
    words += ["--objectives", "triplet", "magnet", "cross_entropy", "--seeds", "0", "1", "2"]
    words += ["--params", str(ROOT / "params.yaml"), "--results", str(table.parent / "results")]
    words += ["--out", str(out), *options]
    fine_labels.main(fine_labels.parser().parse_args(words))
    return (out / "fine-labels.md").read_text()


def test_the_page_compares_what_is_kept(table: Path) -> None:
    text = program(table)
    # magnet against triplet alone: proxy_nca did not take part
    assert "Of 1 comparisons with triplet and proxy\\_nca" in text
    assert "| both.csv, coarse → fine | magnet − triplet | " in text
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if "±" in line}
    upper = float(rows["cross\\_entropy on the fine labels"].split(" | ")[2].split(" ± ")[0])
    coarse = float(rows["cross\\_entropy"].split(" | ")[2].split(" ± ")[0])
    assert upper > coarse + 0.1
    assert "2 coarse and 6 fine labels" in text
    assert "No label is looked at" not in text
    free = program(table, "--objectives", "inverse_cloze", "triplet")
    assert "No label is looked at by inverse\\_cloze." in free
    assert (table.parent / "out" / "fine-labels.png").stat().st_size > 5_000
    trained = list((table.parent / "results" / "fine").glob("*.json"))
    assert len(trained) == (4 + 1) * 3
    assert program(table) == text
    assert [*(table.parent / "results" / "fine").glob("*.json")] == trained


def test_fine_labels_that_do_not_fit_are_refused(table: Path) -> None:
    frame = pd.read_csv(table)
    frame.loc[0, "fine"] = "iron"
    frame.to_csv(table, index=False)
    with pytest.raises(UserError, match="the fine label iron has texts of 2 coarse labels"):
        fine_labels.read_source({"path": str(table), "coarse": "coarse", "fine": "fine"}, Data())
    with pytest.raises(UserError, match="lacks a key coarse or fine"):
        fine_labels.read_source({"path": str(table), "coarse": "coarse"}, Data())
    with pytest.raises(UserError, match="lacks a key coarse or fine"):
        fine_labels.read_source("docstrings", Data())


def test_an_objective_keeps_more_if_its_map_at_r_is_higher() -> None:
    rows = [
        {
            "corpus": "one",
            "objective": name,
            "seed": seed,
            "inside_map_at_r": value + 0.01 * seed**2,
        }
        for name, value in (("magnet", 0.9), ("triplet", 0.1))
        for seed in range(3)
    ]
    rows[0]["inside_map_at_r"] = 0.901  # equal differences would be no test
    said, _ = fine_labels._keepers(pd.DataFrame(rows))
    assert "they keep more in 1 and less in 0" in said
