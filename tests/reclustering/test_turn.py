from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

import textmetric
from tests.reclustering.made import CLUSTERS, SAID, TEXTS, blobs, corrected
from textmetric.errors import UserError
from textmetric.files import read_arrays, read_json, write_arrays, write_json
from textmetric.measures import kmeans
from textmetric.reclustering import Corrections, Turns, learn, recluster, seeded
from textmetric.reclustering import turns as turns_room
from textmetric.reclustering.corrections import Constraints

FRUIT = ("apple", "pear", "plum")


def made(folder: Path | None = None, rows: int = 300, **settings: Any) -> Any:
    """A turn on made-up vectors, a fifth of them corrected."""
    vectors, labels = blobs(rows)
    old = kmeans(vectors, 4, starts=1)
    said = corrected(labels, list(range(0, rows, 5)))
    texts = [f"text {row}" for row in range(rows)]
    return recluster(texts, old, said, vectors=vectors, folder=folder, **settings)


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_it_is_a_name_of_the_package() -> None:
    assert textmetric.recluster is recluster


def test_texts_go_where_corrections_say_and_others_follow_by_their_words() -> None:
    found = recluster(TEXTS, CLUSTERS, SAID, k="keep")
    assert found.labels.tolist() == ["apple"] * 10 + ["pear"] * 10 + ["3"] * 10
    assert np.flatnonzero(found.moved).tolist() == [8, 9]
    assert (found.confidence[[0, 9, 10, 19]] == 1).all()
    assert ((found.confidence > 0) & (found.confidence <= 1)).all()
    assert found.held_out is None  # four corrections are too few


def test_held_out_agreement_is_that_of_scikit_learn() -> None:
    found = made()
    judged, (_, labels) = found.held_out, blobs(300)
    assert judged.rows.tolist() == list(range(0, 300, 5))
    names = np.array(found.constraints.names)
    assert names[judged.right].tolist() == [f"class {labels[row]}" for row in judged.rows]
    old = found.constraints.clusters[judged.rows]
    for figures, clusters in ((judged.before, old), (judged.after, judged.clusters)):
        assert figures.ari == pytest.approx(adjusted_rand_score(labels[judged.rows], clusters))
        assert figures.ami == pytest.approx(
            adjusted_mutual_info_score(labels[judged.rows], clusters)
        )
    assert judged.after.ari > judged.before.ari


def test_a_wrong_correction_is_honoured_but_asked_about_since_others_contradict_it() -> None:
    vectors, labels = blobs(300)
    said = corrected(labels, list(range(0, 300, 5)))
    said[0] = "class 1"
    texts = [f"text {row}" for row in range(300)]
    found = recluster(texts, kmeans(vectors, 4, starts=1), said, vectors=vectors)
    judged, names = found.held_out, found.constraints.names
    assert judged is not None
    assert names[judged.clusters[0]] == "class 0"  # while its own correction was hidden
    assert ((judged.doubts > 0) == (judged.clusters != judged.right)).all()
    assert found.labels[0] == "class 1"
    assert found.ask[0] == (0, "likely mistake", "class 1", "class 0")


def test_the_confidence_is_the_probability_at_the_temperature_of_hidden_corrections() -> None:
    found = made()
    temperature = found.held_out.temperature
    assert abs(temperature - 1) > 0.05
    rows = np.flatnonzero(found.constraints.fixed == -1)
    powers = np.exp(-found.fit.distances[rows] / temperature)
    expected = powers[np.arange(len(rows)), found.fit.clusters[rows]] / powers.sum(axis=1)
    assert found.confidence[rows] == pytest.approx(expected)


def test_hidden_corrections_are_measured_from_the_clusters_before_the_first_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "turns"
    first = made(folder, k="keep")
    began: list[list[str]] = []

    def recorded(constraints: Constraints, *given: Any) -> None:
        began.append([constraints.names[each] for each in constraints.clusters])

    monkeypatch.setattr("textmetric.reclustering.turn.held_out", recorded)
    recluster([f"text {row}" for row in range(300)], None, Corrections(), k="keep", folder=folder)
    vectors, _ = blobs(300)
    assert began == [[str(each) for each in kmeans(vectors, 4, starts=1)]]
    assert began != [first.labels.tolist()]


def test_a_projection_is_trained_of_given_vectors_alone_and_on_in_the_next_turn(
    tmp_path: Path,
) -> None:
    given, own = tmp_path / "given", tmp_path / "own"
    made(given, hold_out=False)
    said = [FRUIT[row % 3] if row < 15 else None for row in range(30)]
    texts = [f"{FRUIT[row % 3]} {sign}" for row, sign in enumerate("abcdefghij" * 3)]
    recluster(texts, ["1", "2", "3"] * 10, said, hold_out=False, folder=own)
    for folder, trains in ((given, True), (own, False)):
        for _ in range(2):
            before = Turns.read(folder)
            assert (before.model is not None) == trains
            assert before.history[-1]["objective"] == ("sup_con" if trains else None)
            named = texts if folder == own else [f"text {row}" for row in range(300)]
            recluster(named, None, Corrections(), hold_out=False, folder=folder)


def test_the_border_sees_the_vectors_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def recorded(rows: Any, *given: Any, before: Any, **settings: Any) -> Any:
        seen.append((rows, before))
        return seeded.fit(rows, *given, before=before, **settings)

    monkeypatch.setattr("textmetric.reclustering.turn.fit", recorded)
    made(hold_out=False)
    [(rows, before)] = seen
    vectors, _ = blobs(300)
    assert before == pytest.approx(learn.principal(vectors))
    assert rows.shape == before.shape
    assert abs(rows - before).max() > 0.1


def test_without_holding_out_the_clusters_are_the_same_and_nothing_is_known_of_hidden_ones() -> (
    None
):
    full, quick = made(k=4), made(k=4, hold_out=False)
    assert quick.labels.tolist() == full.labels.tolist()
    assert quick.held_out is None
    assert {each.reason for each in quick.ask} == {"between two clusters"}
    assert len(set(made(hold_out=False).labels.tolist())) > 4  # grow, not auto


def test_the_clusters_stay_as_many_where_hidden_corrections_say_so() -> None:
    assert len(set(made().labels.tolist())) == 4
    assert len(set(made(k="grow").labels.tolist())) > 4


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"k": 1}, "k is 1, but corrections name 4 clusters"),
        ({"k": 0}, "k is 0, expected a number from 1"),
        ({"k": True}, "k is True"),
        ({"vectors": np.ones((3, 2))}, "300 texts came with vectors of the shape"),
    ],
)
def test_arguments_that_cannot_be_are_refused(settings: dict[str, Any], sentence: str) -> None:
    vectors, labels = blobs(300)
    said = corrected(labels, list(range(0, 300, 5)))
    with pytest.raises(UserError, match=sentence):
        recluster([f"text {row}" for row in range(300)], labels, said,
                  **{"vectors": vectors} | settings)  # fmt: skip


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    made(tmp_path / "one")
    made(tmp_path / "other")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "other")


def test_a_turn_goes_on_with_the_clusters_and_corrections_of_the_last(tmp_path: Path) -> None:
    folder = tmp_path / "turns"
    first = recluster(TEXTS, CLUSTERS, SAID, k="keep", folder=folder)
    more: list[Any] = [None] * 30
    more[29] = "plum"
    more[19] = "plum"  # somebody thinks again
    second = recluster(
        TEXTS, None, Corrections(more, cannot=[(20, 0)], not_here=[(21, "pear")]), folder=folder
    )
    assert (first.number, second.number) == (1, 2)
    assert second.constraints.clusters.tolist() == [
        second.constraints.names.index(name) for name in first.labels
    ]
    assert second.labels[[0, 9, 10, 19, 29]].tolist() == ["apple", "apple", "pear", "plum", "plum"]
    third = recluster(TEXTS, None, [None] * 30, folder=folder)
    assert third.constraints.violations(second.fit.clusters) == 0
    assert third.constraints.apart.size + third.constraints.banned.size > 0
    history = Turns.read(folder).history
    assert [each["turn"] for each in history] == [1, 2, 3]
    assert [each["corrected"] for each in history] == [4, 5, 5]


def test_an_interrupted_turn_leaves_the_last_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "turns"
    recluster(TEXTS, CLUSTERS, SAID, folder=folder)
    before = bytes_of(folder)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(turns_room, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recluster(TEXTS, None, [None] * 30, folder=folder)
    assert bytes_of(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["turns"]


def test_turns_of_other_texts_are_not_gone_on_from(tmp_path: Path) -> None:
    recluster(TEXTS, CLUSTERS, SAID, folder=tmp_path / "turns")
    with pytest.raises(UserError, match="turns of other texts"):
        recluster(TEXTS[::-1], None, SAID, folder=tmp_path / "turns")


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="holds something else than turns"):
        recluster(TEXTS, CLUSTERS, SAID, folder=tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_a_first_turn_needs_clusters(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no turn to go on from"):
        recluster(TEXTS, None, SAID, folder=tmp_path / "turns")


@pytest.mark.parametrize("content", ["{}", "[1]", "{"])
def test_a_damaged_folder_is_named(tmp_path: Path, content: str) -> None:
    recluster(TEXTS, CLUSTERS, SAID, folder=tmp_path / "turns")
    (tmp_path / "turns" / "turns.json").write_text(content)
    with pytest.raises(UserError, match=r"turns\.json"):
        recluster(TEXTS, None, SAID, folder=tmp_path / "turns")


@pytest.mark.parametrize(
    ("key", "value"),
    [("names", "ab"), ("names", ["a", "a", "b", "c"]), ("names", []), ("names", [1, 2, 3, 4]),
     ("sha256", 1), ("history", []), ("history", [1]), ("history", {}), ("history", [{}]),
     ("history", [{"ask": [[0, "new group", "a"]]}]),
     ("history", [{"ask": [[999, "new group", "a", ""]]}])],
)  # fmt: skip
def test_a_description_that_no_turn_wrote_is_damaged(tmp_path: Path, key: str, value: Any) -> None:
    folder = tmp_path / "turns"
    recluster(TEXTS, CLUSTERS, SAID, folder=folder)
    about = read_json(folder / "turns.json")
    write_json(folder / "turns.json", about | {key: value})
    with pytest.raises(UserError, match="does not hold what a turn wrote"):
        recluster(TEXTS, None, SAID, folder=folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rows", lambda array: array[:-1]),
        ("rows", lambda array: array.astype(np.float64)),
        ("rows", lambda array: np.full_like(array, np.nan)),
        ("rows", lambda array: array.ravel()),
        ("mapping", lambda array: array[:-1]),
        ("mapping", lambda array: np.full_like(array, np.inf)),
        ("clusters", lambda array: array + 99),
        ("clusters", lambda array: array - 9),
        ("clusters", lambda array: array.astype(np.float64)),
        ("first", lambda array: array[1:]),
        ("corrected", lambda array: array[:, None]),
        ("must", lambda array: np.array(3)),
        ("must", lambda array: np.array([[0, 999]])),
        ("cannot", lambda array: np.array([[-1, 0]])),
        ("cannot", lambda array: np.array([[0, 1, 2]])),
        ("banned", lambda array: np.array([[0, 99]])),
        ("banned", lambda array: np.array([[99, 0]])),
    ],
)  # fmt: skip
def test_arrays_that_no_turn_wrote_are_damaged(
    tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    folder = tmp_path / "turns"
    recluster(TEXTS, CLUSTERS, SAID, folder=folder)
    arrays = read_arrays(folder / "turns.npz")
    write_arrays(folder / "turns.npz", **arrays | {name: change(arrays[name])})
    with pytest.raises(UserError, match="does not hold what a turn wrote"):
        recluster(TEXTS, None, SAID, folder=folder)


def test_texts_that_are_far_from_all_clusters_form_a_new_one_if_they_may() -> None:
    vectors, labels = blobs(300)
    vectors[:10] = 0.02 * np.random.default_rng(0).normal(size=(10, 7)) + [0, 0, 0, 0, 0, 0, 3]
    texts = [f"text {row}" for row in range(300)]
    said: list[Any] = [None] * 300
    stay = recluster(texts, labels, said, vectors=vectors)
    assert set(stay.labels.tolist()) == {"0", "1", "2", "3"}
    found = recluster(texts, labels, said, vectors=vectors, new=True)
    assert set(found.labels[:10].tolist()) == {"new 1"}
    assert found.changes.new == ["new 1"]
    assert "new 1" not in found.labels[10:].tolist()


def test_an_objective_trains_the_space_and_the_next_turn_goes_on_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textmetric.embedder.LEARNING_RATES", (0.05,))  # a choice of one is quick
    folder = tmp_path / "turns"
    first = made(folder, 100, objective="cross_entropy", k="keep")
    assert first.held_out.after.ari > first.held_out.before.ari
    trained = Turns.read(folder).model
    assert trained is not None
    starts: list[Any] = []

    def recorded(*given: Any, **settings: Any) -> Any:
        starts.append(settings.get("before"))
        return learn.trained(*given, **settings)

    monkeypatch.setattr("textmetric.reclustering.turn.trained", recorded)
    _, labels = blobs(100)
    second = recluster(
        [f"text {row}" for row in range(100)],
        None,
        corrected(labels, [1, 2, 3]),
        objective="cross_entropy",
        k="keep",
        folder=folder,
    )
    # hidden corrections must not be in what a fold starts from
    assert [start is not None for start in starts] == [True, False, False, False]
    assert starts[0].lr_ == trained.lr_
    assert second.constraints.violations(second.fit.clusters) == 0


def test_token_vectors_are_trained_where_that_is_asked_for_and_the_next_turn_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textmetric.embedder.LEARNING_RATES", (0.1,))  # a choice of one is quick
    texts = [f"{fruit} {sign} {sign}" for sign in "abcdefghij" for fruit in FRUIT * 2]
    rng = np.random.default_rng(0)
    clusters = [str(each) for each in rng.integers(0, 3, len(texts))]
    said: list[Any] = [None] * len(texts)
    for row in range(0, 30, 2):
        said[row] = FRUIT[row % 3]
    folder = tmp_path / "turns"
    recluster(texts, clusters, said, k="keep", tune=True, folder=folder)
    model = Turns.read(folder).model
    assert model is not None
    assert model.encoder == "bag"
    found = recluster(texts, None, Corrections(), k="keep", folder=folder)
    model = Turns.read(folder).model
    assert model is not None
    assert model.encoder == "bag"
    assert [label == FRUIT[row % 3] for row, label in enumerate(found.labels)].count(False) < 6
    # what is trained may change from turn to turn
    recluster(texts, None, Corrections(), k="keep", tune=False, folder=folder)
    model = Turns.read(folder).model
    assert model is not None
    assert model.encoder == "frozen"
    with pytest.raises(UserError, match="vectors is an array"):
        recluster(texts, clusters, said, vectors=np.ones((len(texts), 2)), tune=True)


def test_texts_without_a_word_need_vectors() -> None:
    with pytest.raises(UserError, match="no text has a word"):
        recluster(["…", "!"], ["a", "b"], [None, None])
