from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from torchtext.data import get_tokenizer

from textmetric import corpora
from textmetric.corpora import (
    ag_news,
    blocks,
    dbpedia14,
    dbpedia_classes,
    docstrings,
    load,
    load_roles,
    parts,
    readers,
    write,
    write_roles,
)
from textmetric.errors import UserError
from textmetric.types import PARTS


def reviews(path: Path, rows: int = 20) -> Path:
    lines = [f"review {row} of it,{'good' if row % 2 else 'bad'}" for row in range(rows)]
    path.write_text("\n".join(["text,label", *lines]) + "\n")
    return path


def test_a_table_is_loaded_by_its_path(tmp_path: Path) -> None:
    corpus = corpora.load(str(reviews(tmp_path / "reviews.csv")))
    assert list(corpus.frame.columns) == ["text", "label", "split"]
    assert corpus.frame["split"].value_counts().to_dict() == {
        "train": 14,
        "test": 4,
        "validation": 2,
    }
    assert corpus.summary == {
        "name": str(tmp_path / "reviews.csv"),
        "classes": 2,
        "train_rows": 14,
        "validation_rows": 2,
        "test_rows": 4,
        "leaked_rows": 0,
        "conflicting_rows": 0,
        "duplicate_rows": 0,
        "sample_of": None,
        "short_rows": 0,
        "lines": 20,
        "rows": 20,
        "small_classes": 0,
        "small_class_rows": 0,
        "crossing_rows": 0,
        "limit": None,
    }


def test_a_mapping_names_columns(tmp_path: Path) -> None:
    (tmp_path / "r.tsv").write_text(
        "body\tstars\n" + "".join(f"text {row}\t{row % 3}\n" for row in range(12))
    )
    corpus = corpora.load({"path": str(tmp_path / "r.tsv"), "text": "body", "label": "stars"})
    assert set(corpus.frame["label"]) == {"0", "1", "2"}


def test_importing_the_room_is_cheap_and_knows_nothing_of_torch() -> None:
    code = (
        "import sys, textmetric.corpora, textmetric.corpora.ag_news\n"
        "print([m for m in ('torch', 'pandas', 'pyarrow', 'requests') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_docstring_modules_drops_small_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, rows in (("one", 25), ("two", 21), ("few", 19)):
        functions = [
            f'def f{n}():\n    """Word {n} of {module} in a line of nine."""\n' for n in range(rows)
        ]
        (tmp_path / f"{module}.py").write_text("\n".join(functions))
    monkeypatch.setattr(docstrings, "folders", lambda _: {"toy": tmp_path})
    corpus = corpora.load("docstring_modules", progress=False)
    assert set(corpus.frame["label"]) == {"toy.one", "toy.two"}
    assert corpus.summary["small_classes"] == 1
    wider = corpora.load({"name": "docstring_modules", "min_rows": 19}, progress=False)
    assert wider.summary["classes"] == 3


def zhang(rows: int, classes: int) -> str:
    return "".join(
        f'"{row % classes + 1}","Title {row}","Says ""{row}"", a \\ text"\n' for row in range(rows)
    )


def test_ag_news_and_dbpedia14_read_the_published_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, folder, classes in ((ag_news, "ag_news_csv", 4), (dbpedia14, "dbpedia_csv", 14)):
        monkeypatch.setattr(module, "ROWS", {"train": classes * 10, "test": classes})
        (tmp_path / folder).mkdir()
        train = zhang(classes * 10, classes).replace("Title", "Learn")
        (tmp_path / folder / "train.csv").write_text(train)
        (tmp_path / folder / "test.csv").write_text(zhang(classes, classes))
    corpus = corpora.load("dbpedia14", mirror=str(tmp_path), cache=tmp_path / "cache")
    row = corpus.frame.iloc[-14]
    assert (row["text"], row["label"], row["split"]) == (
        'Title 0 Says "0", a \\ text',
        "Company",
        "test",
    )
    with pytest.raises(UserError, match=r"train\.csv does not have the checksum md5:b1a00f82"):
        corpora.load("ag_news", mirror=str(tmp_path), cache=tmp_path / "cache")


def test_wrong_counts_and_layouts_of_published_corpora_are_found(tmp_path: Path) -> None:
    (tmp_path / "dbpedia_csv").mkdir()
    for part in ("train", "test"):
        (tmp_path / "dbpedia_csv" / f"{part}.csv").write_text(zhang(28, 14))
    with pytest.raises(UserError, match="train part of dbpedia14 has 28 rows of 14 classes, where"):
        corpora.load("dbpedia14", mirror=str(tmp_path), cache=tmp_path / "cache")
    (tmp_path / "dbpedia_csv" / "train.csv").write_text(zhang(15, 15))
    with pytest.raises(UserError, match=r"row 15 of dbpedia_csv/train\.csv has the class '15'"):
        corpora.load("dbpedia14", mirror=str(tmp_path), cache=tmp_path / "cache")


@pytest.mark.parametrize("level", ["l1", "l2", "l3"])
def test_dbpedia_classes_has_levels_and_its_own_validation_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setattr(dbpedia_classes, "LEVELS", {"l1": 2, "l2": 3, "l3": 6})
    monkeypatch.setattr(dbpedia_classes, "ROWS", {"train": 24, "validation": 12, "test": 6})
    (tmp_path / "dbpedia_classes").mkdir()
    for part, rows in (("train", 24), ("val", 12), ("test", 6)):
        lines = [f"{part} {row},A{row % 2},B{row % 3},C{row % 6}" for row in range(rows)]
        path = tmp_path / "dbpedia_classes" / f"DBPEDIA_{part}.csv"
        path.write_text("\n".join(["text,l1,l2,l3", *lines]) + "\n")
    corpus = corpora.load(
        {"name": "dbpedia_classes", "level": level}, mirror=str(tmp_path), cache=tmp_path / "cache"
    )
    assert corpus.summary["classes"] == dbpedia_classes.LEVELS[level]
    assert corpus.summary["validation_rows"] == 12
    assert corpus.frame["label"].iloc[0] == {"l1": "A0", "l2": "B0", "l3": "C0"}[level]


def test_the_news_sample_keeps_its_whole_test_part(datasets: Path) -> None:
    corpus = corpora.load(str(datasets / "ag_news"))
    assert corpus.summary["test_rows"] == 7600
    assert corpus.summary["classes"] == 4
    counts = [corpus.summary[key] for key in ("leaked_rows", "conflicting_rows", "duplicate_rows")]
    rows = [corpus.summary[f"{split}_rows"] for split in ("train", "validation")]
    assert sum(counts) + sum(rows) == 50_725  # type: ignore[arg-type]


def test_the_original_news_test_file_has_the_published_layout(datasets: Path) -> None:
    from textmetric.corpora import published

    path = datasets / "ag_news" / "ag_news_csv" / "test.csv"
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    assert ag_news.ALTERNATIVES[0][1].checksum == f"md5:{digest}"
    frame = published.titled(path.read_bytes(), path.name, ag_news.CLASSES)
    assert frame["label"].value_counts().to_dict() == dict.fromkeys(ag_news.CLASSES, 1900)
    again = corpora.readers.read_bytes(datasets / "ag_news" / "test.csv.gz")
    assert frame["text"].iloc[0].encode() in again


def test_a_sample_with_219_classes_needs_min_rows(datasets: Path) -> None:
    spec = {"path": str(datasets / "dbpedia_classes" / "train_sample.csv.gz"), "label": "l3"}
    with pytest.raises(UserError, match="min_rows: 2"):
        corpora.load(spec)
    corpus = corpora.load({**spec, "min_rows": 2})
    assert corpus.summary["classes"] == 217
    assert corpus.summary["small_classes"] == 2
    assert corpus.frame[corpus.frame["split"] == "train"]["label"].value_counts().min() >= 2


def test_a_table_may_say_which_published_corpus_it_is_a_sample_of(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    rows = [f"word{i} and more,{'ab'[i % 2]}" for i in range(20)]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    spec = {"path": str(path), "sample_of": "ag_news"}
    assert corpora.load(spec, progress=False).summary["sample_of"] == "ag_news"
    with pytest.raises(UserError, match="unknown sample_of of a corpus 'ag-news'; did you mean"):
        corpora.load({**spec, "sample_of": "ag-news"}, progress=False)


def crossing(target: pd.DataFrame, source: pd.DataFrame) -> set[str]:
    """Texts that are in other parts of the roles than train and train, test and test."""
    tokens = get_tokenizer("basic_english")
    found = [
        {
            part: {" ".join(tokens(text)) for text in rows}
            for part, rows in frame.groupby("split")["text"]
        }
        for frame in (target, source)
    ]
    return {
        text
        for part, texts in found[0].items()
        for there, others in found[1].items()
        if (part, there) not in {("train", "train"), ("test", "test")}
        for text in texts & others
    }


def test_no_text_crosses_the_roles_of_the_docstring_corpora(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(docstrings, "PACKAGES", {"numpy": "numpy", "pandas": "pandas"})
    names = ("docstrings", "docstring_modules")
    alone = [corpora.load(name, progress=False) for name in names]
    assert crossing(*(corpus.frame for corpus in alone))
    for limit in (None, 300):
        both = corpora.load_roles(*names, limit=limit, progress=False)
        assert not crossing(*(corpus.frame for corpus in both))
        for corpus, before in zip(both, alone, strict=True):
            lost = corpus.summary["crossing_rows"]
            assert isinstance(lost, int)
            assert 0 < lost < 0.13 * len(before.frame)
            if limit is None:
                assert len(corpus.frame) == len(before.frame) - lost
                assert corpus.summary["test_rows"] == before.summary["test_rows"]


def test_a_corpus_may_play_both_roles(tmp_path: Path) -> None:
    path = str(reviews(tmp_path / "reviews.csv", rows=200))
    target, source = corpora.load_roles(path, {"path": path}, limit=100)
    assert not crossing(target.frame, source.frame)
    for corpus in (target, source):
        assert corpus.summary["train_rows"] == 100
        assert corpus.summary["crossing_rows"] == 16
        assert set(corpus.frame["split"]) == {"train", "validation", "test"}


def test_texts_without_a_label_come_last_and_are_counted(tmp_path: Path) -> None:
    path = reviews(tmp_path / "reviews.csv")
    before = corpora.load(str(path))
    labelled = before.frame["text"].tolist()
    with path.open("a") as file:
        file.write("new one,\nnew two,\nNEW  one,\n")
        file.writelines(f"{text.upper()},\n" for text in labelled)
    with pytest.raises(UserError, match="with unlabelled: keep"):
        corpora.load(str(path))
    corpus = corpora.load({"path": str(path), "unlabelled": "keep"})
    assert corpus.frame["split"].tolist() == [*before.frame["split"], *["unlabelled"] * 2]
    assert corpus.frame["text"].tolist() == [*labelled, "new one", "new two"]
    assert corpus.frame["label"].isna().tolist() == [False] * 20 + [True] * 2
    assert corpus.summary == before.summary | {
        "lines": 43,
        "rows": 43,
        "unlabelled_rows": 2,
        "unlabelled_leaked_rows": 6,
        "unlabelled_duplicate_rows": 15,
    }


def test_no_text_without_a_label_is_validated_or_tested_on_in_either_role(tmp_path: Path) -> None:
    target, source = (reviews(tmp_path / name, rows=60) for name in ("a.csv", "b.csv"))
    source.write_text(source.read_text().replace("review", "film"))
    texts = [
        path.read_text().splitlines()[row].rpartition(",")[0]
        for path in (target, source)
        for row in range(1, 61)
    ]
    for path in (target, source):
        with path.open("a") as file:
            file.writelines(f"{text},\n" for text in [*texts, "mine"])
    found = corpora.load_roles(
        *({"path": str(path), "unlabelled": "keep"} for path in (target, source))
    )
    measured = {
        text.lower()
        for corpus in found
        for text in corpus.frame["text"][corpus.frame["split"].isin(["validation", "test"])]
    }
    for corpus, other in (found, found[::-1]):
        kept = set(corpus.frame["text"][corpus.frame["split"] == "unlabelled"])
        # the other role's train texts are no one's test
        assert kept == {"mine", *other.frame["text"][other.frame["split"] == "train"]}
        assert not measured & kept
        assert corpus.summary["unlabelled_rows"] == len(kept)
        assert corpus.summary["unlabelled_leaked_rows"] == len(measured)
        assert corpus.summary["unlabelled_duplicate_rows"] == corpus.summary["train_rows"]


def odd_tables(folder: Path) -> tuple[dict[str, str | int], dict[str, str | int]]:
    """Two tables that share texts, with repeats, empty rows, several lines, and no labels."""
    rows = [
        (f'Text {row % 83} of\n\n{"é" * (row % 7)} it, "said"', "abc"[row % 83 % 3])
        for row in range(120)
    ]
    rows += [(f"more {row}", "") for row in range(30)] + [("", "a")]
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame.to_csv(folder / "one.csv", index=False)
    frame["vector"] = [[float(row), 1.0] for row in range(len(frame))]
    frame[::-1].to_parquet(folder / "two.parquet", index=False)
    options: dict[str, str | int] = {"unlabelled": "keep", "empty": "drop", "min_rows": 2}
    return (
        {"path": str(folder / "one.csv"), **options},
        {"path": str(folder / "two.parquet"), "vectors": "vector", **options},
    )


@pytest.mark.parametrize("limit", [None, 30])
def test_the_files_are_those_of_the_frames_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    specs = odd_tables(tmp_path)
    frames = load_roles(*specs, limit=limit, progress=False)
    assert list(frames[1].frame.columns) == ["text", "label", "row", "split"]
    assert set(frames[0].frame["split"]) == {*PARTS, "unlabelled"}
    monkeypatch.setattr(blocks, "SIZE", 300)
    monkeypatch.setattr(readers, "ROWS", 7)
    monkeypatch.setattr(corpora, "GROUP_ROWS", 16)
    monkeypatch.setattr(parts, "_PARTITION", 10)
    paths = tmp_path / "new" / "target.parquet", tmp_path / "new" / "source.parquet"
    summaries = write_roles(*specs, paths, limit=limit, progress=False)
    for corpus, path, summary in zip(frames, paths, summaries, strict=True):
        corpus.frame.to_parquet(tmp_path / "whole.parquet", index=False, row_group_size=16)
        assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
        assert summary == corpus.summary
    assert sorted(os.listdir(tmp_path / "new")) == ["source.parquet", "target.parquet"]
    alone = write(specs[0], paths[0], progress=False)
    expected = load(specs[0], progress=False)
    pd.testing.assert_frame_equal(pd.read_parquet(paths[0]), expected.frame)
    assert alone == expected.summary


def test_a_mistake_in_the_last_row_leaves_the_old_file(tmp_path: Path) -> None:
    reviews(tmp_path / "a.csv", 30)
    write(str(tmp_path / "a.csv"), tmp_path / "new" / "a.parquet", progress=False)
    before = (tmp_path / "new" / "a.parquet").read_bytes()
    with (tmp_path / "a.csv").open("a") as file:
        file.write(",a\n")
    with pytest.raises(UserError, match=r"row 31 of .*a\.csv, .* an empty 'text'"):
        write(str(tmp_path / "a.csv"), tmp_path / "new" / "a.parquet", progress=False)
    assert os.listdir(tmp_path / "new") == ["a.parquet"]
    assert (tmp_path / "new" / "a.parquet").read_bytes() == before
