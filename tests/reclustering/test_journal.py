from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reclustering.made import CLUSTERS, TEXTS
from textmetric import recluster
from textmetric.errors import UserError
from textmetric.reclustering import Corrections
from textmetric.reclustering.actions import Action, Said
from textmetric.reclustering.journal import Journal
from textmetric.reclustering.turns import Turns


def move(row: int, name: str) -> Action:
    return Action("move", (row,), (name,))


def open_journal(folder: Path, **other: Any) -> Journal:
    return Journal(folder, TEXTS, CLUSTERS, **other)


def test_actions_add_up_to_corrections() -> None:
    said = Said(["a", "a", "b", "b", ""])
    said.add(
        move(0, "new"),
        Action("not here", (1,), ("a",)),
        Action("must", (3, 2)),
        Action("cannot", (0, 4)),
        Action("right", (), ("b",)),
    )
    found = said.corrections
    assert found.labels == ["new", None, "b", "b", None]
    assert found.not_here == [(1, "a")]
    assert (found.must, found.cannot) == ([(2, 3)], [(0, 4)])
    assert said.clusters == ["new", "", "b", "b", ""]
    assert said.names == ["a", "b", "new"]


def test_a_right_cluster_is_its_rows_of_now_and_a_row_can_be_moved_out_later() -> None:
    said = Said(["a", "a", "a", "b"])
    said.add(move(0, "b"), Action("right", (), ("a",)), move(2, "c"))
    assert said.labels == ["b", "a", "c", ""]


def test_renamed_and_merged_clusters_take_along_what_was_said_of_them() -> None:
    said = Said(["a", "a", "b", "c"])
    said.add(
        move(3, "a"),
        Action("not here", (2,), ("a",)),
        Action("rename", (), ("a", "first")),
        Action("merge", (), ("b", "c")),
        Action("rename", (), ("c", "second")),
    )
    assert said.renamed == {"a": "first", "b": "second", "c": "second"}
    assert said.clusters == ["first", "first", "second", "first"]
    assert said.corrections.not_here == [(2, "first")]


def test_undo_leads_back_to_what_was_said_before() -> None:
    """The twin says again all but the last action."""
    draw = random.Random(0)
    start = [draw.choice("abc") for _ in range(12)]
    kinds: list[Any] = ["move", "not here", "must", "cannot", "right", "rename", "merge"]
    takes = {"move": (1, 1), "not here": (1, 1), "must": (2, 0), "cannot": (2, 0),
             "right": (0, 1), "rename": (0, 2), "merge": (0, 2)}  # fmt: skip
    said, undone = Said(start), 0
    for _ in range(400):
        kind = draw.choice(kinds)
        rows, names = takes[kind]
        action = Action(
            kind, tuple(draw.sample(range(12), rows)), tuple(draw.sample("abcdef", names))
        )
        try:
            news = said.add(action)
        except UserError:
            continue
        twin = Said(start)
        twin.add(*said.actions)
        assert (twin.clusters, twin.labels, twin.names) == (said.clusters, said.labels, said.names)
        if news and draw.random() < 0.6:
            said.add(Action("undo"))
            undone += 1
            before = Said(start)
            before.add(*twin.actions[:-1])
            assert vars(before.corrections) == vars(said.corrections)
            assert (before.clusters, before.names) == (said.clusters, said.names)
    assert undone > 30


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([move(0, "a"), Action("not here", (0,), ("a",))], "row 10 is said not to be in 'a'"),
        ([Action("must", (0, 1)), Action("cannot", (1, 0))], "must-links join"),
        ([move(0, "a"), move(1, "b"), Action("must", (0, 1))], "take one of these corrections"),
        ([Action("merge", (), ("a", "x"))], "there is no cluster 'x'"),
        ([Action("right", (), ("x",))], "there is no cluster 'x'"),
        ([Action("rename", (), ("a", "b"))], "there is a cluster 'b' already"),
        ([Action("merge", (), ("a", "a"))], "is given twice"),
        ([Action("cannot", (0, 1)), Action("merge", (), ("a", "b")), move(0, "b"), move(1, "b")],
         "cannot be together"),
        ([move(0, "  ")], "no name of a cluster"),
        ([move(0, "nan")], "no name of a cluster"),
        ([move(3, "a")], "there is no row 3"),
        ([move(-1, "a")], "there is no row -1"),
        ([Action("move", (0,))], "needs 1 rows and 1 names"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence_and_changes_nothing(
    tmp_path: Path, actions: list[Action], words: str
) -> None:
    journal = Journal(tmp_path / "turns", ["x", "y", "z"], ["a", "b", "b"], numbers=[10, 20, 30])
    for action in actions[:-1]:
        journal.add(action)
    content, corrections = journal.path.read_bytes(), vars(journal.said.corrections)
    with pytest.raises(UserError, match=words):
        journal.add(move(2, "c"), actions[-1])
    assert journal.path.read_bytes() == content
    assert vars(journal.said.corrections) == corrections
    journal.close()


def test_there_may_be_nothing_to_undo() -> None:
    said = Said(["a", "b"])
    with pytest.raises(UserError, match="nothing to undo"):
        said.add(move(0, "b"), Action("undo"), Action("undo"))
    assert said.labels == ["", ""]


def test_a_journal_is_read_again_with_what_was_undone(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.add(move(0, "apple"), move(1, "é\u2028\n'\""))
    journal.add(Action("undo"))
    journal.add(Action("merge", (), ("2", "3")))
    corrections = vars(journal.said.corrections)
    journal.close()
    again = open_journal(tmp_path)
    assert vars(again.said.corrections) == corrections
    assert again.said.actions == [move(0, "apple"), Action("merge", (), ("2", "3"))]
    again.close()


def test_what_says_nothing_new_is_not_written(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.add(move(0, "apple"))
    content = journal.path.read_bytes()
    assert journal.add(move(0, "apple")) == []
    assert journal.path.read_bytes() == content
    journal.close()


@pytest.mark.parametrize("lost", [1, 5, 30])
def test_a_half_written_last_line_is_dropped_and_the_next_one_is_whole(
    tmp_path: Path, lost: int
) -> None:
    journal = open_journal(tmp_path)
    journal.add(move(0, "apple"))
    journal.add(move(1, "pear"))
    journal.close()
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-lost])
    again = open_journal(tmp_path)
    assert again.said.actions == [move(0, "apple")]
    again.add(move(2, "plum"))
    again.close()
    last = open_journal(tmp_path)
    assert last.said.actions == [move(0, "apple"), move(2, "plum")]
    last.close()


def test_a_killed_process_leaves_every_correction(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from tests.reclustering.test_journal import move, open_journal\n"
        "from pathlib import Path\n"
        "journal = open_journal(Path(sys.argv[1]))\n"
        "for row in range(5): journal.add(move(row, 'apple'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    journal = open_journal(tmp_path)
    assert journal.said.actions == [move(row, "apple") for row in range(5)]
    journal.close()


def test_a_correction_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path)
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(journal.path.read_bytes()))
    journal.add(move(0, "apple"))
    assert synced == [journal.path.read_bytes()]
    journal.close()


def test_a_full_disk_is_one_sentence_and_leaves_the_journal_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path)
    journal.add(move(0, "apple"))
    content, write = journal.path.read_bytes(), os.write

    def half(file: int, data: bytes) -> int:
        write(file, data[:7])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(UserError, match="no space left"):
            journal.add(move(1, "pear"))
    assert journal.path.read_bytes() == content
    assert journal.said.labels[1] == ""
    journal.add(move(1, "pear"))
    journal.close()


@pytest.mark.parametrize(
    "line",
    [
        "nothing",
        "{}",
        "[]",
        "null",
        '{"kind": "move", "rows": [0], "names": ["a"], "more": 1}',
        '{"kind": "steal", "rows": [0], "names": ["a"]}',
        '{"kind": ["move"], "rows": [0], "names": ["a"]}',
        '{"kind": "move", "rows": [true], "names": ["a"]}',
        '{"kind": "move", "rows": [0.0], "names": ["a"]}',
        '{"kind": "move", "rows": 0, "names": ["a"]}',
        '{"kind": "move", "rows": [0], "names": [1]}',
        '{"kind": "move", "rows": [99], "names": ["a"]}',
        '{"kind": "move", "rows": [99999999999999999999], "names": ["a"]}',
        "[" * 100_000,
        "\0\0\0",
    ],
)
def test_a_line_that_is_no_correction_is_one_sentence(tmp_path: Path, line: str) -> None:
    journal = open_journal(tmp_path)
    journal.add(move(0, "apple"))
    journal.close()
    with journal.path.open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(UserError, match=r"corrections-1\.jsonl") as caught:
        open_journal(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_journal_of_other_texts_or_clusters_is_refused(tmp_path: Path) -> None:
    open_journal(tmp_path).close()
    for texts, clusters in ((TEXTS[::-1], CLUSTERS), (TEXTS, CLUSTERS[::-1])):
        with pytest.raises(UserError, match="other texts or clusters"):
            Journal(tmp_path, texts, clusters)


def test_one_process_at_a_time_has_a_journal(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    with pytest.raises(UserError, match="another process works on"):
        open_journal(tmp_path)
    journal.close()
    open_journal(tmp_path).close()


def test_a_folder_that_was_replaced_gets_no_more_corrections(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "turns")
    (tmp_path / "turns").rename(tmp_path / "old")
    with pytest.raises(UserError, match="start again"):
        journal.add(move(0, "apple"))
    (tmp_path / "turns").mkdir()
    journal.path.write_bytes(b"")
    with pytest.raises(UserError, match="start again"):
        journal.add(move(0, "apple"))
    assert journal.said.actions == []
    journal.close()


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        open_journal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_turn_counts_the_journal_and_keeps_it(tmp_path: Path) -> None:
    folder = tmp_path / "turns"
    journal = open_journal(folder)
    journal.add(move(0, "apple"), move(8, "apple"), Action("merge", (), ("2", "3")))
    journal.add(Action("must", (10, 29)))
    journal.close()
    content = journal.path.read_bytes()
    by_hand = Corrections(
        ["apple", *[None] * 7, "apple", *[None] * 21], [(10, 29)], renamed={"2": "3"}
    )
    wanted = recluster(TEXTS, CLUSTERS, by_hand)
    found = recluster(TEXTS, CLUSTERS, Corrections(), folder=folder)
    assert found.labels.tolist() == wanted.labels.tolist()
    assert "2" not in found.labels
    assert found.labels[[0, 8]].tolist() == ["apple", "apple"]
    assert journal.path.read_bytes() == content

    before = Turns.read(folder)
    assert json.loads(json.dumps(found.ask)) == before.history[-1]["ask"]
    later = Journal(folder, TEXTS, before.current, before=before)
    assert later.said.labels[0] == "apple"
    later.add(Action("rename", (), ("apple", "fruit")), move(1, "3"))
    later.close()
    second = recluster(TEXTS, None, Corrections(), folder=folder)
    assert second.labels[[0, 1, 8]].tolist() == ["fruit", "3", "fruit"]
    assert second.labels[10] == second.labels[29]
    assert "apple" not in second.labels
    assert len(Turns.read(folder).history) == 2


def test_a_cluster_that_was_said_to_be_wrong_can_be_right_in_a_later_turn(tmp_path: Path) -> None:
    recluster(TEXTS, CLUSTERS, Corrections(not_here=[(0, "1")]), folder=tmp_path / "turns")
    before = Turns.read(tmp_path / "turns")
    said = Said(before.current, before=before)
    assert said.everything.not_here == [(0, "1")]
    said.add(move(0, "1"))
    assert said.labels[0] == "1"
