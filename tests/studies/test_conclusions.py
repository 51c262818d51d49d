"""The paper's conclusions next to results that are known."""

from __future__ import annotations

import math
from typing import Any

import pytest

from studies.conclusions import Claim, Comparison, by_start, claims, page, verdict
from studies.trials import Result

Line = tuple[dict[str, Any], list[Result]]


def results(losses: list[float] | None = None, **measures: float) -> list[Result]:
    """Three seeds whose values differ by some thousandths of themselves."""
    return [
        Result(
            {name: value * (1 + 0.001 * seed) for name, value in measures.items()},
            [loss * (1 + 0.001 * seed) for loss in losses or []],
            None,
        )
        for seed in range(3)
    ]


def of_width(objective: str, width: int, recall: float, validation: float = 0.5) -> Line:
    return (
        {"objective": objective, "width": width},
        results(
            recall_at_1=recall, hamming_recall_at_1=recall - 0.1, validation_map_at_r=validation
        ),
    )


def named(found: list[Claim], beginning: str) -> Claim:
    (claim,) = (claim for claim in found if claim.text.startswith(beginning))
    return claim


def test_the_rival_is_the_tuple_loss_that_validation_prefers() -> None:
    widths = [
        of_width("cross_entropy", 16, 0.7),
        of_width("triplet", 16, 0.9, validation=0.4),
        of_width("lifted", 16, 0.6, validation=0.6),
    ]
    claim = named(claims(widths, [], []), "Classification is as good")
    (comparison,) = claim.comparisons
    assert comparison.line == "cross\\_entropy and lifted, width 16"
    assert comparison.first == pytest.approx([0.7, 0.7007, 0.7014])
    assert comparison.second == pytest.approx([0.6, 0.6006, 0.6012])


def test_a_rival_that_failed_is_none() -> None:
    failed: Line = ({"objective": "triplet", "width": 16}, [Result({}, [], "collapsed")] * 3)
    widths = [of_width("cross_entropy", 16, 0.7), failed]
    assert claims(widths, [], []) == []


def test_bits_stand_against_the_floats_of_the_same_memory_only() -> None:
    widths = [of_width("triplet", width, 0.5 + width / 10_000) for width in (16, 256, 512)]
    claim = named(claims(widths, [], []), "At equal memory")
    (comparison,) = claim.comparisons
    assert comparison.line == "triplet: 512 bits and 16 floats"
    assert comparison.first[0] == pytest.approx(0.5 + 0.0512 - 0.1)
    assert comparison.second[0] == pytest.approx(0.5016)
    # .4512 against .5016: worse by the same in every seed
    assert verdict(claim) == ("Text disagrees.", ["disagrees"])


def test_layer_norm_is_judged_by_recall_and_by_the_loss_where_small_is_good() -> None:
    found: list[Line] = [
        ({"objective": "norm_softmax", "layer norm": "with"}, results([1.0, 0.5], recall_at_1=0.7)),
        ({"objective": "norm_softmax", "layer norm": "without"}, results([2.0], recall_at_1=0.8)),
    ]
    sentence, said = verdict(named(claims([], found, []), "Layer norm"))
    assert said == ["disagrees", "agrees"]
    assert sentence == "Of 2 comparisons, text agrees in 1 and disagrees in 1."


def test_the_fewest_classes_stand_against_the_most() -> None:
    found = [
        ({"objective": "triplet", "classes a batch": number}, results(recall_at_1=recall))
        for number, recall in ((32, 0.8), (8, 0.1), (2, 0.8))
    ]
    claim = named(claims([], [], found), "Few classes")
    assert [comparison.line for comparison in claim.comparisons] == ["triplet: 2 classes and 32"]
    # "as good as": no difference is enough
    assert verdict(claim) == ("Text agrees.", ["no difference"])


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [("better", "Text shows no difference."), ("not worse", "Text agrees.")],
)
def test_no_difference(kind: Any, sentence: str) -> None:
    same = Comparison("a", [0.1, 0.2, 0.3], [0.2, 0.1, 0.3])
    assert verdict(Claim("A.", kind, "a", [same])) == (sentence, ["no difference"])


def test_one_seed_and_failed_trainings_give_no_verdict() -> None:
    single = Comparison("a", [0.9], [0.1])
    failed = Comparison("b", [math.nan] * 3, [0.1, 0.2, 0.3])
    assert verdict(Claim("A.", "better", "a", [single, failed])) == (
        "Fewer than three seeds cannot tell.",
        ["–", "–"],
    )


def test_a_lost_comparison_does_not_count_among_the_others() -> None:
    won = Comparison("a", [0.9, 0.91, 0.92], [0.1, 0.11, 0.13])
    failed = Comparison("b", [math.nan] * 3, [0.1, 0.2, 0.3])
    assert verdict(Claim("A.", "better", "a", [won, failed])) == ("Text agrees.", ["agrees", "–"])


def test_the_page_has_a_table_a_conclusion() -> None:
    text = page(claims([of_width("triplet", width, width / 100) for width in (16, 32)], [], []))
    assert "**Wider embeddings are better.** Text agrees." in text
    assert "| triplet: width 32 and 16 | 0.320 | 0.160 | +0.160 [+0.160, +0.161] | agrees |" in text


def test_the_starts_are_compared_by_what_each_says_of_the_same_conclusions() -> None:
    wider = claims([of_width("triplet", width, width / 100) for width in (16, 32)], [], [])
    narrower = claims([of_width("triplet", width, 1 / width) for width in (16, 32)], [], [])
    text = by_start({"random": wider, "given": narrower})
    assert "agrees with 1 of 1 from random (comparisons that disagree: 0 of 1); 0 of 1 from" in text
    assert "given (comparisons that disagree: 1 of 1)." in text
    assert "| Wider embeddings are better. | Text agrees. | Text disagrees. |" in text
