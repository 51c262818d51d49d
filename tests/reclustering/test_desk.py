from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import textmetric.reclustering.app.desk as module
from tests.reclustering.made import CLUSTERS, TEXTS
from textmetric.errors import UserError
from textmetric.reclustering.actions import Action
from textmetric.reclustering.app.desk import Desk
from textmetric.reclustering.turns import Turns, begun


@pytest.fixture(autouse=True)
def _quick_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two columns: a real map is drawn in the test of the page."""

    def places(rows: Any, *, tick: Any) -> Any:
        tick()
        return rows[:, :2]

    monkeypatch.setattr(module, "tsne", places)


def move(row: int, name: str) -> Action:
    return Action("move", (row,), (name,))


def test_it_shows_clusters_as_they_are_and_what_is_asked(tmp_path: Path) -> None:
    desk = Desk(TEXTS, CLUSTERS, tmp_path)
    assert desk.sizes == {"2": 12, "3": 10, "1": 8}
    assert desk.clusters == CLUSTERS
    assert len(desk.ask) > 0
    assert desk.likeliest(29)[0] == "3"
    assert sorted(desk.likeliest(29)) == ["1", "2", "3"]
    assert desk.places.shape == (30, 2)
    assert {CLUSTERS[row] for row in desk.typical("3")} == {"3"}
    desk.close()


def test_a_corrected_text_is_typical_of_its_cluster(tmp_path: Path) -> None:
    desk = Desk(TEXTS, CLUSTERS, tmp_path)
    desk.do(move(0, "3"), Action("rename", (), ("3", "plum")))
    assert desk.typical("plum")[0] == 0
    assert desk.likeliest(29)[0] == "plum"
    assert desk.sizes["plum"] == 11
    assert desk.corrected == 1
    desk.close()


def test_turns_go_on_from_each_other_and_from_the_folder(tmp_path: Path) -> None:
    desk = Desk(TEXTS, CLUSTERS, tmp_path / "turns")
    desk.do(*(move(row, "apple") for row in (0, 8, 9)))
    shares = []
    tick = desk._tick
    desk._tick = lambda share: (shares.append(share), tick(share))[1]  # type: ignore[method-assign]
    desk.run()
    desk.wait()
    assert (desk.failure, desk.share) == ("", None)
    assert shares == sorted(shares)
    assert shares[-1] <= 1
    assert desk.history[-1]["turn"] == 1
    assert desk.clusters[0] == desk.clusters[9] == "apple"
    asked = desk.ask
    with pytest.raises(UserError, match="nothing to undo"):
        desk.do(Action("undo"))
    desk.do(move(1, "pear"))
    desk.close()
    again = Desk(TEXTS, None, tmp_path / "turns")
    assert again.ask == asked
    assert again.labels[1] == "pear"
    again.run()
    again.wait()
    assert len(again.history) == 2
    assert again.clusters[1] == "pear"
    again.close()


@pytest.mark.parametrize(("tune", "encoder"), [(False, None), (True, "bag")])
def test_a_turn_learns_from_the_vectors_that_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tune: bool, encoder: str | None
) -> None:
    monkeypatch.setattr("textmetric.embedder.LEARNING_RATES", (0.1,))  # a choice of one is quick
    desk = Desk(TEXTS, CLUSTERS, tmp_path, tune=tune, hold_out=False)
    desk.do(*(move(row, TEXTS[row].split()[0]) for row in range(0, 30, 2)))
    for _ in range(2):
        desk.run()
        desk.wait()
        assert desk.failure == ""
        model = Turns.read(tmp_path).model
        assert (None if model is None else model.encoder) == encoder
    desk.close()


def test_nothing_is_corrected_while_a_turn_runs_and_an_end_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(TEXTS, CLUSTERS, tmp_path / "turns")
    desk.do(move(0, "apple"))
    started, go_on = threading.Event(), threading.Event()

    def slow(*given: Any, tick: Any, **settings: Any) -> None:
        started.set()
        assert go_on.wait(60)
        tick(0.5)
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(module, "recluster", slow)
    desk.run()
    assert started.wait(60)
    for act in (lambda: desk.do(move(1, "pear")), desk.run):
        with pytest.raises(UserError, match="a turn is running"):
            act()
    desk._stopped = True
    go_on.set()
    desk.close()
    assert not begun(tmp_path / "turns")
    again = Desk(TEXTS, CLUSTERS, tmp_path / "turns")
    assert again.labels[0] == "apple"
    again.close()


@pytest.mark.parametrize(
    ("error", "words"), [(UserError("too few"), "too few"), (KeyError("x"), "the turn failed")]
)
def test_a_turn_that_fails_is_a_sentence_and_correcting_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    desk = Desk(TEXTS, CLUSTERS, tmp_path / "turns")
    desk.do(move(0, "apple"))

    def failing(*given: Any, **settings: Any) -> None:
        raise error

    monkeypatch.setattr(module, "recluster", failing)
    desk.run()
    desk.wait()
    assert words in desk.failure
    assert desk.share is None
    desk.do(move(1, "pear"))
    assert desk.labels[:2] == ["apple", "pear"]
    desk.close()


def test_a_text_in_no_cluster_can_be_corrected(tmp_path: Path) -> None:
    desk = Desk(TEXTS, [None, *CLUSTERS[1:]], tmp_path / "turns")
    assert desk.clusters[0] == ""
    desk.do(move(0, "1"))
    desk.run()
    desk.wait()
    assert desk.failure == ""
    assert Turns.read(tmp_path / "turns").current[0] == "1"
    desk.close()


def test_without_clusters_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no turn to go on from"):
        Desk(TEXTS, None, tmp_path / "turns")
    assert not (tmp_path / "turns").exists()
