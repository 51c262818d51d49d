from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.report.fake_study import ARMS, KEYS, change, read, write_study
from textmetric.files import read_json, write_json
from textmetric.grid import Baseline, Family, Layout
from textmetric.params import Model, Pretrain, SplitEntry
from textmetric.report.blocks import Document, Map, Table
from textmetric.report.document import ANSWERS, build_document
from textmetric.report.formats import cell_seeds, cell_text
from textmetric.report.markdown import write_markdown
from textmetric.report.names import BY_KEY

SAMPLES = {
    "target": {"name": "news.csv", "sample_of": "ag_news", "classes": 4},
    "source": {"name": "some.csv", "sample_of": "dbpedia_classes", "classes": 217},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    write_study(root, [0, 1, 2, 3, 4])
    return root


def text_of(document: Document, anchor: str) -> str:
    section = next(one for one in document.sections if one.anchor == anchor)
    return "\n".join(block for block in section.blocks if isinstance(block, str))


def tables_of(document: Document, anchor: str) -> list[Table]:
    section = next(one for one in document.sections if one.anchor == anchor)
    return [block for block in section.blocks if isinstance(block, Table)]


def answers_of(document: Document) -> dict[str, list[str]]:
    """The rows of the summary, by use."""
    (table,) = tables_of(document, "summary")
    return {row[0]: list(map(cell_text, row[1:])) for row in table.rows}


USES = [
    "[retrieval, 3 classes](#table-R-1)",
    "[retrieval, 30 classes](#table-R-2)",
    "[classifying, 3 classes](#table-C-1)",
    "[classifying, 30 classes](#table-C-2)",
    "[compact clusters, 3 classes](#table-7-1)",
    "[compact clusters, 30 classes](#table-7-2)",
    "[retrieval of a scarce label](#table-8-1)",
    "[retrieval of 10 rare labels](#table-8-2)",
    "[retrieval of unseen labels](#table-open)",
    "[transfer, all labels](#table-9)",
    "[transfer, 10 % of the labels](#table-9-labels)",
]


def test_the_summary_is_one_row_for_each_use(root: Path) -> None:
    document = build_document(read(root))
    found = answers_of(document)
    assert list(found) == USES
    # in MAP@R and in the transfer metric learning is better with every seed
    assert found["[retrieval, 3 classes](#table-R-1)"] == [
        "**metric better**",
        "+0.100 [+0.081, +0.119]",
        "0.550 ± 0.049",
        "0.650 ± 0.049",
        "0.300",
        "0.150 ± 0.049",
        "seeds",
    ]
    # TF-IDF and from scratch, with a tenth of the rows
    assert found["[transfer, 10 % of the labels](#table-9-labels)"][4:] == [
        "0.397 ± 0.000",
        "0.477 ± 0.000",
        "seeds, rows",
    ]
    assert (
        "Measured by: MAP@R for retrieval, retrieval of a scarce label, retrieval of 10 rare "
        "labels, retrieval of unseen labels; nearest-neighbours accuracy for classifying; "
        "gap (cohesion − between) for compact clusters; test accuracy for transfer."
    ) in text_of(document, "summary")


def test_the_summary_is_corrected_for_all_primary_comparisons(root: Path) -> None:
    document = build_document(read(root))
    text = text_of(document, "summary")
    assert "primary comparisons of all 14 tables" in text
    marked = [
        section.anchor
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Table)
        for row in block.rows
        if "(**primary**)" in str(row[1] if len(row) > 1 else "")
    ]
    # each table has one; MAP@R of the rare labels is also shown by the tables about them
    for anchor in ("R-1", "C-2", "7-1", "8-1", "8-2", "open", "9", "9-labels"):
        assert marked.count(f"table-{anchor}") == (2 if anchor == "7-1" else 1)
    assert marked.count("table-8-2-2") == 2


def test_a_comparison_reads_the_same_in_every_table(root: Path) -> None:
    document = build_document(read(root))
    found: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for anchor, split in {
        "table-R-2": "source",
        "table-7-2": "source",
        "table-8-2": "rare",
        "table-8-2-1": "rare",
        "table-8-2-2": "rare",
        "table-8-2-3": "rare",
    }.items():
        for row in tables_of(document, anchor)[1].rows:
            cells = list(map(cell_text, row))
            found.setdefault((split, *cells[:2]), set()).add(tuple(cells[2:]))
    assert any("MAP@R" in key[1] for key in found)
    assert all(len(said) == 1 for said in found.values())


def test_the_summary_turns_when_the_numbers_do(root: Path, tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1, 2, 3, 4])
    for arm in ARMS:
        if arm.family is Family.METRIC:
            per_seed = read_json(Layout(tmp_path).record(arm, KEYS["target"]))["per_seed"]
            per_seed["map_at_r"] = [value - 0.3 for value in per_seed["map_at_r"]]
            change(tmp_path, "target", arm, per_seed=per_seed)
    found = answers_of(build_document(read(tmp_path)))
    assert found["[retrieval, 3 classes](#table-R-1)"][0] == "**classification better**"
    assert found["[retrieval, 30 classes](#table-R-2)"][0] == "**metric better**"


@pytest.mark.parametrize("seeds", [[7], [7, 8]])
def test_fewer_than_three_seeds_have_no_verdict_anywhere(tmp_path: Path, seeds: list[int]) -> None:
    write_study(tmp_path, seeds)
    document = build_document(read(tmp_path))
    assert {cells[0] for cells in answers_of(document).values()} == {"no verdict"}
    everything = [
        cell_text(cell)
        for section in document.sections
        if section.anchor != "answers"
        for block in section.blocks
        if isinstance(block, Table)
        for row in block.rows
        for cell in row
    ]
    assert not any("better" in text for text in everything)


def test_every_split_has_its_map_once(root: Path) -> None:
    study = read(root)
    maps = [
        block.split
        for section in build_document(study).sections
        for block in section.blocks
        if isinstance(block, Map)
    ]
    assert sorted(maps) == sorted(study.splits)


def test_cells_hold_the_value_of_every_seed(root: Path) -> None:
    study = read(root)
    table = tables_of(build_document(study), "split-target")[0]
    cells = next(row for row in table.rows if row[0] == BY_KEY["map_at_r"].title)
    for side, cell in zip(study.sides, cells[1:], strict=True):
        assert cell_seeds(cell) == study.record("target", side).per_seed["map_at_r"]
    assert len(cell_seeds(cells[5])) == 1  # of TF-IDF, which draws nothing


def test_tfidf_competes_with_its_logistic_regression_in_classifying(root: Path) -> None:
    study = read(root)
    accuracy = study.baselines["target"][Baseline.TFIDF].per_seed["head_accuracy"][0]
    found = answers_of(build_document(study))
    assert found["[classifying, 3 classes](#table-C-1)"][4] == f"{accuracy:.3f}"


def raise_baseline(root: Path, split: str, baseline: Baseline, key: str, to: list[float]) -> None:
    path = Layout(root).baseline(baseline, KEYS[split])
    found = read_json(path)
    found["per_seed"][key] = to
    write_json(path, found)


def test_an_unbeaten_baseline_is_named_below_its_table_and_in_the_summary(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1, 2, 3, 4])
    document = build_document(read(tmp_path))
    assert "that was trained" not in text_of(document, "table-R-1")
    # metric learning has .6 to .7: as good as it, then better than all
    raise_baseline(tmp_path, "target", Baseline.TFIDF, "map_at_r", [0.65])
    better = [0.7, 0.725, 0.75, 0.775, 0.8]
    raise_baseline(tmp_path, "source", Baseline.UNTRAINED, "map_at_r", better)
    document = build_document(read(tmp_path))
    assert (
        "**Nothing that was trained beats TF-IDF**, 0.650: the best, metric learning, shuffled, "
        "has a MAP@R of 0.650 ± 0.049."
    ) in text_of(document, "table-R-1")
    assert (
        "**The untrained encoder beats all that was trained**, 0.750 ± 0.049: the best, metric "
        "learning, shuffled, has a MAP@R of 0.650 ± 0.049."
    ) in text_of(document, "table-R-2")
    summary = text_of(document, "summary")
    of_tfidf, of_untrained = (
        next(part for part in summary.split("**Nothing that was trained beats ")[1:]
             if part.startswith(name)).split(".")[0]
        for name in ("TF-IDF**", "what was not trained**")
    )  # fmt: skip
    assert "retrieval, 3 classes" in of_tfidf
    assert "retrieval, 30 classes" not in of_tfidf
    assert "retrieval, 30 classes" in of_untrained
    assert "retrieval, 3 classes" not in of_untrained


def test_fewer_than_three_seeds_say_nothing_of_a_baseline(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    raise_baseline(tmp_path, "target", Baseline.TFIDF, "map_at_r", [0.99])
    document = build_document(read(tmp_path))
    assert "Nothing that was trained" not in text_of(document, "table-R-1")
    assert "Nothing that was trained" not in text_of(document, "summary")


def test_other_corpora_have_no_values_of_the_original(root: Path) -> None:
    document = build_document(read(root))
    assert not any(section.anchor == "original" for section in document.sections)
    assert "original" not in text_of(document, "table-7-1")


def test_the_originals_values_are_next_to_those_of_its_corpora(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1, 2], corpora=SAMPLES)
    for arm in ARMS:
        change(tmp_path, "target", arm, label_names=["Business", "Sports", "World"])
    document = build_document(read(tmp_path))
    table = tables_of(document, "table-7-1")[0]
    titles = [column.title for column in table.columns]
    assert titles[-2:] == ["original, classification", "original, metric learning"]
    by_name = {row[0].split(" ")[0]: list(map(cell_text, row[-2:])) for row in table.rows}
    assert by_name["Business"] == ["0.38", "0.58"]
    assert by_name["World"] == ["0.44", "0.61"]
    assert by_name["average"] == ["0.41", "0.64"]
    assert by_name["MAP@R"] == ["–", "–"]
    rows = tables_of(document, "table-7-2")[0].rows
    quartiles = {row[0]: list(map(cell_text, row[-2:])) for row in rows}
    assert quartiles["first quartile"] == ["0.74", "0.66"]
    assert quartiles["largest"] == ["0.94", "0.89"]


def test_whether_a_conclusion_of_the_original_holds_is_computed(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1, 2, 3, 4], corpora=SAMPLES)
    document = build_document(read(tmp_path))
    assert "ag_news (a sample) and dbpedia_classes (a sample), not on the whole" in text_of(
        document, "original"
    )
    rows = [list(map(cell_text, row)) for row in tables_of(document, "original")[0].rows]
    transfer = [row for row in rows if "#table-9" in row[0]]
    assert len(transfer) == 4  # two tunings, two heads
    assert {tuple(row[2:]) for row in transfer} == {("metric better", "yes")}
    # the original said classification; in MAP@R metric learning is better here
    many = [row for row in rows if "#table-7-2" in row[0] and row[1].startswith("MAP@R")]
    assert {tuple(row[2:]) for row in many} == {("metric better", "**no, the opposite**")}


def test_the_answers_of_other_studies_link_to_their_pages(root: Path) -> None:
    answers = read_json(ANSWERS)
    for folder, pages in (("reports", "../docs"), (".", "docs")):
        (table,) = tables_of(build_document(read(root), folder=folder), "answers")
        assert [row[:3] for row in table.rows] == [
            [answer[key] for key in ("question", "judged by", "found")] for answer in answers
        ]
        assert table.rows[0][3] == f"[claims.md]({pages}/claims.md)"


def test_the_report_says_that_nothing_is_tuned_and_what_is_equal(root: Path) -> None:
    text = text_of(build_document(read(root)), "run")
    assert "10 epochs of the same number of steps, 64 texts a batch, adagrad" in text
    assert "No objective is tuned" in text


def test_the_report_names_the_encoder_and_the_share_of_given_tokens(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1, 2])

    def said(model: Model) -> str:
        lines = text_of(build_document(read(tmp_path, model=model)), "run").splitlines()
        return next(line for line in lines if line.startswith("The encoder: "))

    assert said(Model()) == (
        "The encoder: the mean of token vectors, which start at random; with nothing over it, "
        "32 wide."
    )
    for role, share in (("target", 0.912), ("source", 0.5)):
        write_json(Layout(tmp_path).token_labels(role), {"given": 9, "found": share})
    assert said(Model(vectors="w.vec", layer="mlp", weights="idf", dim=8)) == (
        "The encoder: the mean of token vectors, which start at those of `w.vec`; these have "
        "91% (target) and 50% (source) of the train texts' tokens, weighted by inverse document "
        "frequency at the start; with two linear layers with a ReLU over it, 8 wide."
    )
    assert said(Model(encoder="frozen", layer="linear")) == (
        "The encoder: text vectors that the corpora bring, which stay as they are, and a linear "
        "layer over them, 32 wide."
    )


def text_of_what_was_run(root: Path, pretrain: Pretrain | None = None) -> str:
    write_markdown(root / "results.md", build_document(read(root, pretrain=pretrain)), folder="x")
    return (root / "results.md").read_text()


def test_what_was_run_tells_of_the_lines_and_rows_of_tables(tmp_path: Path) -> None:
    counts = {"lines": 4321, "rows": 4319, "empty_rows": 17}
    write_study(tmp_path, [0, 1, 2], corpora={"target": counts})
    found = text_of_what_was_run(tmp_path)
    assert "| crossing | lines read | rows read | empty |" in found
    assert "| 4,321 | 4,319 | 17 |" in found
    assert "| – | – | – |" in found
    assert "*empty*: rows without a text or label" in found


def test_what_was_run_tells_of_texts_without_a_label_and_of_the_pretraining(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1, 2])
    plain = text_of_what_was_run(tmp_path)
    assert "nlabelled" not in plain
    assert "without labels" not in plain
    layout = Layout(tmp_path)
    counts = {"unlabelled_rows": 4321, "unlabelled_leaked_rows": 17}
    summary = read_json(layout.summary("target")) | counts | {"unlabelled_duplicate_rows": 29}
    write_json(layout.summary("target"), summary)
    about = {"name": "inverse_cloze", "parameters": {"share": 0.5}, "epochs": 7}
    write_json(layout.pretraining, about | {"batch_size": 32, "lr": 0.25})
    found = text_of_what_was_run(tmp_path, Pretrain())
    assert "| crossing | unlabelled | unlabelled, leaked | unlabelled, repeated |" in found
    target, source = (
        next(line for line in found.splitlines() if line.startswith(f"| {role} |"))
        for role in ("target", "source")
    )
    assert target.endswith("| 4,321 | 17 | 29 |")
    assert source.endswith("| 0 | 0 | 0 |")
    assert (
        "trained without labels by `inverse_cloze` with share 0.5 on all texts to learn from, in 7 "
        "epochs of 32 texts a batch with learning rate 0.25" in found
    )
    assert text_of_what_was_run(tmp_path).count("inverse_cloze") == 0


def test_a_split_with_every_label_cut_is_no_scarce_label_of_table_8_1(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1, 2])
    study = read(tmp_path)
    assert study.scarce("target") == ["target-scarce-1"]
    for scarce, found in (([0, 1, 1], ["target-scarce-1"]), ([0, 1, 2], [])):
        entry = SplitEntry(role="target", scarce=scarce, keep=0.1, unlabel=True)
        changed = replace(study, splits={**study.splits, "target-scarce-1": entry})
        assert changed.scarce("target") == found
    anchors = [section.anchor for section in build_document(changed).sections]
    assert "split-target-scarce-1" in anchors


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        ({"name": "docstrings"}, False),
        ({"name": "inputs/a.csv", "rows": 3}, False),
        ({"name": str(Path("inputs/b/a.csv").absolute()), "rows": 3}, False),
        ({"name": "inputs/../a`b.csv", "rows": 3}, True),
        ({"name": "/elsewhere/a.csv", "rows": 3}, True),
    ],
)
def test_the_report_says_which_tables_dvc_does_not_watch(
    summary: dict[str, Any], said: bool, tmp_path: Path
) -> None:
    write_study(tmp_path, [0, 1, 2], {"target": summary})
    (run,) = [one for one in build_document(read(tmp_path)).sections if one.anchor == "run"]
    found = [block for block in run.blocks if "does not notice a change" in str(block)]
    assert len(found) == said
    assert all(summary["name"] in str(block) for block in found)
