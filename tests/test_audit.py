from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textmetric import audit as audits
from textmetric.audit import FEWEST, audit, suspicion
from textmetric.embedder import TextEmbedder
from textmetric.errors import UserError

QUICK: dict[str, Any] = {"lr": 0.1, "epochs": 5, "dim": 16}


def made(rows: int = 90, classes: int = 3, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of five words, four of their class and one of their own."""
    rng = np.random.default_rng(seed)
    labels = [f"class {row % classes}" for row in range(rows)]
    texts = [
        " ".join([*(f"of{label[-1]}word{rng.integers(9)}" for _ in range(4)), f"id{row}"])
        for row, label in enumerate(labels)
    ]
    return texts, labels


def with_errors(labels: list[str], rows: list[int]) -> list[str]:
    wrong = dict(
        zip(rows, [f"class {(int(labels[row][-1]) + 1) % 3}" for row in rows], strict=True)
    )
    return [wrong.get(row, label) for row, label in enumerate(labels)]


def test_swapped_labels_are_found_with_the_label_that_they_had() -> None:
    texts, labels = made()
    wrong = [3, 17, 31, 50, 63, 76]
    found = audit(texts, with_errors(labels, wrong), **QUICK | {"epochs": 40})
    worst = found.suspects()[: len(wrong)]
    assert sorted(found.rows[worst]) == wrong
    assert [str(label) for label in found.proposed[worst]] == [
        labels[row] for row in found.rows[worst]
    ]
    assert (np.diff(found.scores[found.suspects()]) <= 0).all()
    assert found.left_out == 0


def test_suspicion_is_the_ratio_that_loops_find() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), 40)
    labels = rng.integers(5, size=40)
    others, ratios = suspicion(probabilities, labels)
    for row in range(40):
        own = probabilities[row, labels[row]]
        rest = {c: probabilities[row, c] for c in range(5) if c != labels[row]}
        best = max(rest, key=lambda c: rest[c])
        assert others[row] == best
        assert ratios[row] == pytest.approx(rest[best] / own)


def test_a_label_without_a_probability_has_no_limit() -> None:
    others, ratios = suspicion(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 0]))
    assert others.tolist() == [1, 1]
    assert ratios.tolist() == [np.inf, 0.0]


def test_no_text_that_is_judged_was_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = made()
    texts[30:60] = texts[:30]  # with the same labels
    learnt: list[set[str]] = []
    judged: list[set[str]] = []
    fit, scores = TextEmbedder.fit, TextEmbedder.scores

    def recorded_fit(self: Any, X: Any, y: Any) -> Any:  # noqa: N803
        learnt.append(set(X))
        return fit(self, X, y)

    def recorded_scores(self: Any, X: Any) -> Any:  # noqa: N803
        judged.append(set(X))
        return scores(self, X)

    monkeypatch.setattr(TextEmbedder, "fit", recorded_fit)
    monkeypatch.setattr(TextEmbedder, "scores", recorded_scores)
    audit(texts, labels, **QUICK)
    assert len(learnt) == len(judged) == audits.FOLDS
    for one, other in zip(learnt, judged, strict=True):
        assert not one & other
    assert set.union(*judged) == set(texts)


def test_small_classes_are_counted_and_texts_without_a_label_are_learnt_from() -> None:
    texts, labels = made(30)
    texts += ["a rare one", "another rare one", "one alone", "without a label"]
    labels += ["rare", "rare", "alone", ""]
    found = audit(texts, labels, **QUICK)
    assert found.left_out == 3
    assert found.classes.tolist() == ["class 0", "class 1", "class 2"]
    assert found.rows.tolist() == list(range(30))
    assert found.probabilities.shape == (30, 3)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


def test_a_text_without_a_known_word_is_no_suspect() -> None:
    texts, labels = made(30)
    texts[7] = "nothing here occurs elsewhere"
    found = audit(texts, labels, **QUICK)
    assert found.scores[7] == 0
    assert 7 not in found.rows[found.suspects()]


def test_numbers_stay_numbers_and_the_same_seed_finds_the_same() -> None:
    texts, labels = made(30)
    numbers = [int(label[-1]) for label in labels]
    found, again = (audit(texts, numbers, seed=3, **QUICK) for _ in range(2))
    assert found.proposed.dtype.kind == "i"
    assert found.scores.tolist() == again.scores.tolist()
    assert found.scores.tolist() != audit(texts, numbers, seed=4, **QUICK).scores.tolist()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["a"] * 6, "there are 1 classes, expected at least two"),
        (["a", "a", "b", "b", "c", "c"], f"no class has {FEWEST} different texts or more"),
        (["a", "a", "a", "a", "b", "b"], f"one class has {FEWEST} different texts or more"),
        (["a", "b"], "6 texts came with labels of shape"),
        (["a", "b", "a", "b", "a", float("nan")], "label"),
    ],
)
def test_a_mistake_is_one_sentence(labels: list[Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        audit([f"text {number}" for number in range(6)], labels)
