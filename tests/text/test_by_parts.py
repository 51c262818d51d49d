from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from textmetric.errors import UserError
from textmetric.text import BASIC_ENGLISH, Vocabulary, by_parts, tokenize_corpus, tokenize_file
from textmetric.types import PARTS

Saved = dict[str, bytes]


def table(order: str) -> pd.DataFrame:
    """Words by a Zipf law, so that some are in one part of the file only."""
    rng = np.random.default_rng(0)
    words = rng.zipf(1.3, size=(600, 9)) % 5000
    texts = [" ".join(f"w{word}" for word in row) for row in words]
    texts[5], texts[7] = "<unk> é \ud83d".encode("utf-8", "ignore").decode(), ""
    split = rng.choice([*PARTS, "unlabelled"], len(texts), p=[0.5, 0.1, 0.2, 0.2])
    label = np.where(split == "unlabelled", None, rng.choice(["b", "a"], len(texts)))
    frame = pd.DataFrame({"text": texts, "label": label, "split": split})
    return frame if order == "mixed" else frame.sort_values("split", kind="stable")


def saved(folder: Path) -> Saved:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def by_processes(patch: pytest.MonkeyPatch, rows: int) -> None:
    """Parts of this many rows, each in another process, their counts summed in pairs."""
    patch.setattr(by_parts, "PART_ROWS", rows)
    patch.setattr(by_parts, "MANY", 0)
    patch.setattr(by_parts, "FAN", 2)


@pytest.mark.parametrize("order", ["mixed", "in order"])
@pytest.mark.parametrize("rows", [1000, 150, 43, 1])
@pytest.mark.parametrize("options", [{}, {"min_freq": 2, "max_size": 40}], ids=["all", "some"])
def test_the_parts_of_a_file_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, rows: int, options: dict[str, int]
) -> None:
    frame = table(order)
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=20)
    tokenize_corpus(frame, progress=False, keep_rows=True, **options).save(tmp_path / "whole")
    by_processes(monkeypatch, rows)
    (tmp_path / "parts").mkdir()
    corpus = tokenize_file(
        tmp_path / "a.parquet",
        folder=tmp_path / "parts",
        progress=False,
        keep_rows=True,
        **options,
    )
    assert os.listdir(tmp_path / "parts") == []
    corpus.save(tmp_path / "parts" / "a")
    assert saved(tmp_path / "parts" / "a") == saved(tmp_path / "whole")


@pytest.mark.parametrize("extend", [False, True])
def test_a_given_vocabulary_knows_the_same_in_any_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extend: bool
) -> None:
    frame = table("mixed")
    learnt = frame[frame["split"].isin(["train", "unlabelled"])]["text"]
    known = {word for text in learnt for word in BASIC_ENGLISH.split([text])[0]}
    measured = frame[frame["split"] == "test"]["text"]
    only_there = next(w for t in measured for w in BASIC_ENGLISH.split([t])[0] if w not in known)
    given = Vocabulary(["<unk>", "w2", only_there, "w1", "never"])
    options: dict[str, Any] = {"given": given, "extend": extend, "min_freq": 2, "progress": False}
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=20)
    expected = tokenize_corpus(frame, **options)
    by_processes(monkeypatch, 43)
    corpus = tokenize_file(tmp_path / "a.parquet", **options)
    assert corpus.found == expected.found
    assert (corpus.test.tokens.whole().ids == 2).any()
    for name, each in (("a", corpus), ("b", expected)):
        each.save(tmp_path / name)
    assert saved(tmp_path / "a") == saved(tmp_path / "b")


def test_after_a_worker_was_killed_the_work_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table("in order")
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=20)
    tokenize_corpus(frame, progress=False).save(tmp_path / "whole")
    by_processes(monkeypatch, 43)
    (tmp_path / "parts").mkdir()
    number: Callable[..., None] = by_parts._number

    def killed(part: Any, tick: Callable[[], None]) -> None:
        number(part, tick)
        if part.prefix.name == "part-3":
            os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(by_parts, "_number", killed)
        killed.__qualname__, killed.__module__ = "_number", by_parts.__name__
        with pytest.raises(UserError, match="a worker process was killed"):
            tokenize_file(tmp_path / "a.parquet", folder=tmp_path / "parts", progress=False)
    assert os.listdir(tmp_path / "parts") == []
    corpus = tokenize_file(tmp_path / "a.parquet", folder=tmp_path / "parts", progress=False)
    corpus.save(tmp_path / "parts" / "a")
    assert saved(tmp_path / "parts" / "a") == saved(tmp_path / "whole")


def test_a_part_that_is_done_twice_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table("mixed")
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=20)
    tokenize_corpus(frame, progress=False).save(tmp_path / "whole")
    by_processes(monkeypatch, 43)
    for name in ("_number", "_sum_counts", "_rename"):
        once = getattr(by_parts, name)

        def twice(job: Any, tick: Callable[[], None], once: Any = once) -> None:
            once(job, tick)
            once(job, lambda: None)

        monkeypatch.setattr(by_parts, name, twice)
    monkeypatch.setattr(by_parts, "MANY", 1 << 30)  # these functions do not pickle
    tokenize_file(tmp_path / "a.parquet", progress=False).save(tmp_path / "a")
    assert saved(tmp_path / "a") == saved(tmp_path / "whole")


@pytest.mark.parametrize("part", ["train", "unlabelled"])
def test_a_text_that_is_none_is_named_in_any_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    frame = table("in order")
    rows = np.flatnonzero(frame["split"] == part)
    frame.iloc[rows[90], 0] = None
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=20)
    with pytest.raises(UserError) as expected:
        tokenize_corpus(frame, progress=False)
    by_processes(monkeypatch, 43)
    with pytest.raises(UserError, match=r"^text \d+ \(counted from 0\) is (None|nan)") as caught:
        tokenize_file(tmp_path / "a.parquet", progress=False)
    assert str(caught.value).split(" is ")[0] == str(expected.value).split(" is ")[0]
