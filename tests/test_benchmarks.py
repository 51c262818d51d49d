"""The harness of the benchmarks, and every part as a user starts it."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import __main__ as program
from benchmarks import corpora, encoders, pipeline, rounds, table
from benchmarks.rounds import Case, Options, Timing, measure, peak_memory, record
from studies.marks import filled
from tests.tiny import WITH_MINILM, WORDS
from textmetric.errors import UserError
from textmetric.params import Model
from textmetric.text import UNKNOWN, TokenVectors, Vocabulary, tokenize_corpus

ROOT = Path(__file__).parents[1]
KEYS = [
    "part", "case", "ours_s", "peer", "peer_s", "ratio", "ratio_min", "ratio_max", "ours_mb",
    "peer_mb", "goal", "note",
]  # fmt: skip
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
# Counters of resident pages are kept by processor, up to a few hundred pages behind.
SLACK = 4.0


@pytest.fixture
def calls() -> list[str]:
    return []


def noted(calls: list[str], name: str, result: object = None) -> Callable[[], object]:
    def side() -> object:
        calls.append(name)
        return result

    return side


def case(calls: list[str], **settings: Any) -> Case:
    given: dict[str, Any] = {"peer": "a peer", "theirs": noted(calls, "theirs", 2)} | settings
    return Case("tiny", "a case", noted(calls, "ours", 1), **given)


def test_both_sides_are_warmed_up_then_timed_in_turn_then_their_memory_is_measured(
    calls: list[str],
) -> None:
    timing = measure(case(calls), rounds=3)
    warm_up = memory = ["ours", "theirs"]
    assert calls == [*warm_up, *["ours", "theirs"] * 3, *memory]
    assert len(timing.ours) == len(timing.theirs) == 3


def test_a_case_without_a_peer_has_no_ratio(calls: list[str]) -> None:
    found = record(alone := case(calls, peer="", theirs=None), measure(alone, rounds=2))
    assert set(calls) == {"ours"}
    assert found["ours_s"] > 0
    empty = ("peer", "peer_s", "ratio", "ratio_min", "ratio_max", "peer_mb", "goal")
    assert {found[key] for key in empty} == {None}


def test_a_long_case_is_called_once_a_side(calls: list[str]) -> None:
    timing = measure(case(calls, long=True), rounds=9)
    assert calls == ["ours", "theirs"]
    assert len(timing.ours) == 1
    if sys.platform == "linux":
        assert timing.ours_mb is not None


def test_the_warm_up_is_not_counted() -> None:
    waits = itertools.chain([0.5], itertools.repeat(0.0))
    slow_at_first = Case("tiny", "a case", lambda: time.sleep(next(waits)))
    assert max(measure(slow_at_first, rounds=3).ours) < 0.25


def test_the_seconds_are_those_of_one_call(calls: list[str]) -> None:
    ten_at_once = Case("tiny", "a case", lambda: time.sleep(0.01), calls=10)
    assert 0.01 <= min(measure(ten_at_once, rounds=1).ours) < 0.05


def test_figures_are_medians_and_the_ratio_is_that_of_the_pairs(calls: list[str]) -> None:
    found = record(case(calls), Timing([1.0, 2.0, 9.0], [2.0, 4.0, 3.0], 10.04, math.inf))
    assert (found["ours_s"], found["peer_s"]) == (2.0, 3.0)
    # of 1/2, 2/4 and 9/3; the ratio of the medians would be 2/3
    assert (found["ratio"], found["ratio_min"], found["ratio_max"]) == (0.5, 0.5, 3.0)
    assert (found["ours_mb"], found["peer_mb"]) == (10.0, math.inf)


def test_a_check_sees_both_results_and_what_it_says_is_told(calls: list[str]) -> None:
    checked = case(calls, check=lambda ours, theirs: f"{ours} and {theirs}", note="a note")
    assert record(checked, measure(checked, 1))["note"] == "1 and 2; a note"


def test_a_failing_check_stops_before_anything_is_timed(calls: list[str]) -> None:
    def check(ours: int, theirs: int) -> str:
        assert ours == theirs, f"{ours} is not {theirs}"
        return ""

    message = r"tiny, a case: the two sides did not do the same work \(1 is not 2.*fix one"
    with pytest.raises(UserError, match=message):
        measure(case(calls, check=check), rounds=3)
    assert calls == ["ours", "theirs"]


def test_a_case_names_its_threads_and_leaves_none_behind() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []
    for threads in (1, 2):
        measure(
            Case("tiny", "a case", lambda: seen.append(torch.get_num_threads()), threads=threads),
            rounds=1,
        )
    assert seen == [1, 1, 1, 2, 2, 2]
    assert torch.get_num_threads() == before


@ON_LINUX
@pytest.mark.parametrize("mebibytes", [1, 64])
def test_memory_is_that_of_an_allocation_though_it_is_freed_again(mebibytes: int) -> None:
    _, found = peak_memory(lambda: np.ones(mebibytes << 20, dtype=np.uint8).sum())
    assert found is not None
    assert mebibytes - SLACK <= found <= mebibytes + SLACK


@ON_LINUX
def test_memory_that_was_used_and_freed_before_counts_again() -> None:
    # Many small pieces: an allocator keeps those, and a second call takes them from there.
    def pieces() -> int:
        return len([bytes(1000) for _ in range(30_000)])

    pieces()
    _, found = peak_memory(pieces)
    assert found is not None
    assert found >= 30_000 * 1000 / 2**20 - SLACK


@ON_LINUX
def test_memory_of_a_process_that_a_side_starts_counts_too() -> None:
    code = "import time; held = b'x' * (64 << 20); time.sleep(1)"
    _, found = peak_memory(lambda: subprocess.run([sys.executable, "-S", "-c", code], check=True))
    assert found is not None
    assert 64 - SLACK <= found < 2 * 64  # and an interpreter, but not all of it twice


@pytest.fixture
def tiny_part(monkeypatch: pytest.MonkeyPatch, calls: list[str]) -> ModuleType:
    """A part whose cases are those that the test gives it."""
    module: Any = ModuleType("benchmarks.tiny")
    module.given = []
    module.asked = []

    def cases(options: Options) -> Iterator[Case]:
        module.asked.append(options)
        yield from module.given

    module.cases = cases
    monkeypatch.setitem(sys.modules, "benchmarks.tiny", module)
    monkeypatch.setattr(program, "PARTS", {"tiny": "a part for a test"})
    return module  # type: ignore[no-any-return]


def timed(file: Path, *words: str) -> list[dict[str, Any]]:
    """The records that the program writes to ``file``."""
    program.main(program.parser().parse_args([*words, "--json", str(file)]))
    return json.loads(file.read_text())  # type: ignore[no-any-return]


def test_a_line_and_a_record_a_case(
    tiny_part: Any, calls: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_part.given = [case(calls, goal=1e9), case(calls, peer="", theirs=None)]
    file = tmp_path / "figures.json"
    found = timed(file, "tiny", "--rounds", "3", "--texts", "some.csv")
    assert tiny_part.asked == [Options(quick=False, rounds=3, texts="some.csv")]
    assert [list(one) for one in found] == [KEYS, KEYS]
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2].startswith("tiny: a case: ")
    assert "goal 1e+09 kept" in printed[-2]
    assert "ratio" not in printed[-1]
    assert any(line.startswith("Python 3.") and "torch " in line for line in printed)


def test_what_was_timed_before_a_failure_is_written(
    tiny_part: Any, calls: list[str], tmp_path: Path
) -> None:
    def broken() -> None:
        raise RuntimeError("out of order")

    tiny_part.given = [case(calls), Case("tiny", "another", broken)]
    file = tmp_path / "figures.json"
    with pytest.raises(RuntimeError, match="out of order"):
        timed(file, "--quick")
    assert [one["case"] for one in json.loads(file.read_text())] == ["a case"]


def test_only_the_cases_that_are_asked_for(
    tiny_part: Any, calls: list[str], tmp_path: Path
) -> None:
    tiny_part.given = [case(calls), Case("tiny", "another", noted(calls, "another"))]
    found = timed(tmp_path / "figures.json", "--only", "other", "--quick")
    assert [one["case"] for one in found] == ["another"]
    assert set(calls) == {"another"}


def test_a_peer_that_is_not_installed_is_one_sentence_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.delitem(sys.modules, "benchmarks.vectors", raising=False)
    message = (
        r"benchmark of vectors needs the package datasets: .* pip install '\.\[benchmark,peers\]'"
    )
    with pytest.raises(UserError, match=message):
        program.main(program.parser().parse_args(["vectors", "--quick"]))


@pytest.mark.parametrize("version", [(3, 12, 9), (3, 13, 0)])
def test_fasttext_is_left_out_only_where_it_has_no_wheel(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", None)
    monkeypatch.setitem(sys.modules, "benchmarks.training", None)
    monkeypatch.delitem(sys.modules, "benchmarks.training")  # imported again, and not kept
    with monkeypatch.context() as on:
        on.setattr(sys, "version_info", version)
        if version < (3, 13):
            with pytest.raises(ModuleNotFoundError):
                importlib.import_module("benchmarks.training")
            return
        training = importlib.import_module("benchmarks.training")
    texts, labels = ["green apple", "fast car"] * 4, ["food", "road"] * 4
    frame = pd.DataFrame({"text": texts, "label": labels, "split": ["train"] * 4 + ["test"] * 4})
    cases = list(training.whole_jobs(tokenize_corpus(frame), tmp_path, quick=True))
    compared = [one for one in cases if one.peer == "fastText"]
    assert [(one.theirs, one.note) for one in compared] == [
        (None, "fastText has no wheel for this Python")
    ] * 2
    assert training.accuracies(lambda: 0.5) == "held-out accuracy 0.500"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["starting"], "unknown part 'starting'; did you mean 'startup'"),
        (["--rounds", "0"], "--rounds is 0, expected at least 1"),
        (["training", "--texts", "no.csv"], "--texts no.csv cannot be read as csv"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        program.main(program.parser().parse_args(words))


def test_a_table_without_a_column_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("text,topic\na,b\n")
    with pytest.raises(UserError, match="has no column label"):
        corpora.texts(Options(texts=str(file)))


def test_texts_of_a_table_are_mixed_and_their_labels_go_with_them(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("text,label\n" + "".join(f"t{n},{'ab'[n % 2]}\n" for n in range(100)))
    texts, labels = corpora.texts(Options(texts=str(file)))
    assert sorted(texts) == sorted(f"t{n}" for n in range(100))
    assert texts != [f"t{n}" for n in range(100)]
    assert [int(text[1:]) % 2 for text in texts] == labels.tolist()
    assert corpora.texts(Options(texts=str(file)), 10)[0] == texts[:10]


def test_grown_texts_keep_their_class_and_their_vocabulary_grows() -> None:
    words = {0: "apple bread pie soup", 1: "car bus lane wheel"}
    labels = np.arange(20, dtype=np.int32) % 2
    texts = [f"{words[label]} t{row}" for row, label in enumerate(labels.tolist())]
    many, of_many = corpora.grown(texts, labels, 4000)
    assert len(many) == len(of_many) == 4000
    assert many[:20] == texts
    for text, label in zip(many, of_many.tolist(), strict=True):
        assert not set(text.split()) & set(words[1 - label].split())
    sizes = [len({word for text in many[:rows] for word in text.split()}) for rows in (1000, 4000)]
    assert sizes[1] > 2 * sizes[0]  # four times the texts, by the 0.8th power 3.0
    fewer, _ = corpora.grown(texts, labels, 1000)
    assert fewer == many[:1000]


def example(**settings: Any) -> dict[str, Any]:
    record: dict[str, Any] = dict.fromkeys(KEYS) | {"part": "tiny", "case": "a case", "note": ""}
    return record | {"ours_s": 0.5} | settings


COMPARED = {
    "peer": "a peer", "peer_s": 2.0, "ratio": 0.25, "ratio_min": 0.2, "ratio_max": 0.5,
}  # fmt: skip


def test_a_table_a_part_and_a_row_a_case() -> None:
    text = table.markdown(
        [
            example(**COMPARED, goal=0.3, ours_mb=1.0, peer_mb=250.0, note="what | else"),
            example(part="other", case="no peer", ours_mb=3.0),
            example(case="missed", **COMPARED, goal=0.2),
        ]
    )
    assert "### tiny" in text
    assert (
        "| a case | 500 ms | a peer | 2 s | **0.25** (0.20–0.50) | 0.30 ✓ | 1.0 MiB, 250 MiB "
        "| what \\| else |"
    ) in text
    assert "| no peer | 500 ms |  |  |  |  | 3.0 MiB |  |" in text
    assert "0.20 ✗" in text
    assert text.index("| missed") < text.index("### other")


def test_a_later_file_takes_the_place_of_the_same_cases(tmp_path: Path) -> None:
    for name, seconds in (("one.json", 1.0), ("two.json", 2.0)):
        (tmp_path / name).write_text(json.dumps([example(ours_s=seconds)]))
    found = table.read([tmp_path / "one.json", tmp_path / "two.json"])
    assert [one["ours_s"] for one in found] == [2.0]


def test_the_tables_go_between_the_marks_and_the_picture_beside_the_page(tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    figures.write_text(json.dumps([example(**COMPARED, goal=0.2)]))
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    pictures = []
    for _ in range(2):
        table.main(table.parser().parse_args([str(figures), "--page", str(page)]))
        pictures.append((tmp_path / "page.png").read_bytes())
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| a case |") == 1
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("figures", "page", "message"),
    [
        ('{"a": 1}', "", "does not hold figures"),
        ("[]", "no marks", "has no lines <!-- figures -->"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    tmp_path: Path, figures: str, page: str, message: str
) -> None:
    (tmp_path / "figures.json").write_text(figures)
    (tmp_path / "page.md").write_text(page)
    words = [str(tmp_path / "figures.json"), "--page", str(tmp_path / "page.md")]
    with pytest.raises(UserError, match=message):
        table.main(table.parser().parse_args(words))


def test_the_page_on_performance_shows_the_figures_beside_it() -> None:
    page = ROOT / "docs" / "performance.md"
    tables = table.markdown(table.read([ROOT / "docs" / "performance.json"]))
    assert filled(page, {table.MARK: tables}) == page.read_text(encoding="utf-8")


def test_the_time_of_a_pipeline_is_split_by_stage_and_its_overhead_told() -> None:
    found = pipeline.Run(
        total=10.0,
        stages={"train": [2.0, 2.0], "tsne": [3.0], "split": [1.0]},
        starts={"train": 0.5, "tsne": 1.0, "split": 0.5},
    )
    text = pipeline.markdown(found)
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert lines[2:] == [
        ["train", "2", "4.0", "40 %", "1.0"],
        ["tsne", "1", "3.0", "30 %", "1.0"],
        ["split", "1", "1.0", "10 %", "0.5"],
        ["DVC itself", "", "2.0", "20 %"],
    ]
    # 4 − 1 of training, 3 − 1 of drawing; the other half is overhead
    assert "training 30 %, measuring 0 %, drawing 20 %" in text
    assert "remaining 50 %" in text


@pytest.mark.parametrize("kind", ["random", "given", pytest.param("frozen", marks=WITH_MINILM)])
def test_the_costs_of_an_encoder_are_a_row(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (" ".join(rng.choice(WORDS[label], size=4)), label, part)
        for part in ["train"] * 12 + ["test"] * 4
        for label in ("food", "road")
    ]
    frame = pd.DataFrame(rows, columns=["text", "label", "split"])
    words = sorted({*WORDS["food"], *WORDS["road"]})
    known = np.array([[0, 0], *([word in WORDS["food"], 1] for word in words)], dtype=np.float32)
    found = TokenVectors(Vocabulary([UNKNOWN, *words]), known)
    monkeypatch.setattr(encoders, "token_vectors", lambda *_, **__: found)
    model = {
        "random": Model(dim=8),
        "given": Model(dim=2, vectors="words.vec"),
        "frozen": Model(encoder="frozen", layer="linear", dim=8, vectors=encoders.NAME),
    }[kind]
    arguments = Namespace(budgets=[4], draws=[0, 1])
    row = encoders._measured(kind, frame, model, 0.1, arguments)
    assert list(row) == [
        "encoder", "prepare (s)", "train on 24 rows (s)", "saved (MB)", "texts a second",
        "4 a class", "24 rows",
    ]  # fmt: skip
    assert float(row["24 rows"]) > 0.8
    assert float(row["texts a second"].replace(",", "")) > 1


@pytest.mark.parametrize("part", program.PARTS)
def test_every_part_runs(part: str, tmp_path: Path) -> None:
    if part != "text" and "TEXTMETRIC_BENCHMARKS" not in os.environ:
        pytest.skip("takes a minute: TEXTMETRIC_BENCHMARKS=1 runs it")
    if part == "vectors":
        pytest.importorskip("datasets", reason="the package datasets is missing")
    if part == "recluster":
        pytest.importorskip("cognitivefactory", reason="interactive-clustering is missing")
    file = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", part, "--quick", "--rounds", "1", "--json", str(file)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,  # it takes some 20 s where nothing else runs
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert {one["part"] for one in found} == {part}
    assert len({(one["case"], one["peer"]) for one in found}) == len(found)
    for one in found:
        assert list(one) == KEYS
        assert one["ours_s"] > 0
        if one["ratio"] is None:
            assert one["peer"] is None or one["note"]  # why it was not run
        else:
            assert one["peer"]
            assert one["ratio_min"] <= one["ratio"] <= one["ratio_max"]
        assert f"{part}: {one['case']}: {rounds.duration(one['ours_s'])}" in done.stdout
