"""Comparisons and texts that are made up, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from textmetric.compare import Arm, Comparison
from textmetric.compare.learners import OfArm, OfSplit
from textmetric.compare.purposes import by_name
from textmetric.grid import Baseline

FOUR = (
    Arm("cross_entropy", "shuffled"),
    Arm("cross_entropy", "balanced"),
    Arm("triplet", "shuffled"),
    Arm("triplet", "balanced"),
)
TWO = (Arm("cross_entropy", "balanced"), Arm("triplet", "balanced"))


def texts_of(classes: int, rows: int, *, seed: int = 0, share: float = 0.5) -> tuple[list, list]:
    """Texts of 8 words, of which a share is of their class; every text has a word of its own."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for row in range(rows):
        label = row % classes
        words = [
            f"of{label}word{rng.integers(12)}" if rng.random() < share else f"any{rng.integers(40)}"
            for _ in range(8)
        ]
        texts.append(" ".join([*words, f"id{row}"]))
        labels.append(f"class {label}")
    return texts, labels


def comparison_of(
    test: Mapping[Arm, Sequence[float]],
    validation: Mapping[Arm, Sequence[float]] | None = None,
    *,
    tfidf: Sequence[float] | None = None,
    untrained: Sequence[float] | None = None,
    purpose: str = "classify",
    error: str | None = None,
) -> Comparison:
    """A comparison with the given values of each arm, a split a value."""
    arms = tuple(test)
    validation = test if validation is None else validation
    wanted = by_name(purpose)
    key = wanted.measures[0].key
    count = len(test[arms[0]])
    splits = []
    for place in range(count):
        of_arms = [
            OfArm(0.1, "head", validation[arm][place], {key: test[arm][place]}, 0.5, error)
            for arm in arms
        ]
        baselines = {
            Baseline.TFIDF: {key: (tfidf or [0.1] * count)[place]},
            Baseline.UNTRAINED: {key: (untrained or [0.1] * count)[place]},
        }
        splits.append(OfSplit((680, 120, 200), of_arms, baselines))
    return Comparison(
        purpose=wanted,
        classes=["a", "b", "c"],
        rows=1000,
        given=1010,
        left_out=["10 without a label"],
        arms=arms,
        seeds=list(range(count)),
        splits=splits,
        wall_seconds=2.0,
        cpu_seconds=4.0,
    )
