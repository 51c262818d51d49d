"""The conclusions of Zhai & Wu 2018 from images, compared with the ablations on text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from studies.trials import Result
from textmetric.measures import Outcome, Paired, simultaneous_differences
from textmetric.report.formats import difference, number, plain, table

Found = Sequence[tuple[dict[str, Any], list[Result]]]
"""A part's lines: its columns, and the results of its seeds."""

BITS_OF_A_FLOAT = 32
SAID = {
    Outcome.FIRST: "agrees",
    Outcome.SECOND: "disagrees",
    Outcome.NO_DIFFERENCE: "no difference",
    Outcome.DEPENDS: "depends",
    Outcome.UNKNOWN: "–",
}
AGREES = "Text agrees."
HEADS_AND_PROXIES = ("cross_entropy", "norm_softmax", "proxy_nca")


@dataclass(frozen=True)
class Comparison:
    """Two series of one measure, paired by seed.

    Attributes:
        line: what is compared, for the table.
        first: (seeds,) the side that the claim speaks for.
        second: (seeds,) the other.
        large_is_good: whether the larger value is the better one.
    """

    line: str
    first: list[float]
    second: list[float]
    large_is_good: bool = True


@dataclass(frozen=True)
class Claim:
    """A conclusion from images, with what speaks for or against it here.

    Attributes:
        text: the conclusion.
        kind: ``better`` if the first side must be better, ``not worse`` if no difference will do.
        measured: what is compared.
        comparisons: one line each.
    """

    text: str
    kind: Literal["better", "not worse"]
    measured: str
    comparisons: list[Comparison]


def claims(widths: Found, layer_norm: Found, classes: Found) -> list[Claim]:
    """The paper's conclusions that the given parts can speak to; parts not run are empty.

    Args:
        widths: columns objective and width.
        layer_norm: columns objective and layer norm, with or without.
        classes: columns objective and classes a batch.
    """
    made = [
        Claim(
            "Classification is as good a way to embeddings as the losses of pairs and triplets, at "
            "every width.",
            "not worse",
            "Recall@1 against the tuple loss with the best MAP@R on validation at that width",
            list(_against_tuples(widths)),
        ),
        Claim(
            "Wider embeddings are better.",
            "better",
            "Recall@1 at the largest width against the smallest",
            list(_widest(widths)),
        ),
        Claim(
            "At equal memory, many bits are at least as good as few floats.",
            "not worse",
            f"Recall@1 of {BITS_OF_A_FLOAT} times as many bits against the floats",
            list(_bits_against_floats(widths)),
        ),
        Claim(
            "Layer norm makes normalised softmax converge lower and retrieve better.",
            "better",
            "Recall@1, and the mean loss of the whole training, with layer norm against without",
            list(_with_layer_norm(layer_norm)),
        ),
        Claim(
            "Few classes in a batch, with many rows each, lose little.",
            "not worse",
            "Recall@1 of the fewest classes a batch against the most",
            list(_fewest_classes(classes)),
        ),
    ]
    return [claim for claim in made if claim.comparisons]


def page(found: Sequence[Claim]) -> str:
    """A table a claim, each with a sentence that says whether it holds; Markdown."""
    return "\n\n".join(
        [
            "## The paper's conclusions, on text",
            "Differences are paired by seed and count where p stays below 0.05 after Bonferroni's "
            "correction for all comparisons under one conclusion; the intervals are those of "
            "this test. With a conclusion that says no "
            "more than *as good as*, no difference agrees; few seeds show large differences only. "
            "The paper trained deep networks on images; its "
            "conclusions are given in our words.",
            *(_section(claim) for claim in found),
        ]
    )


def by_start(found: Mapping[str, Sequence[Claim]]) -> str:
    """Which of the same claims hold from each start, and what changes; Markdown.

    Args:
        found: name of the start → its claims, in the same order.
    """
    said = {start: [verdict(claim) for claim in claims] for start, claims in found.items()}
    counted = "; ".join(
        f"{sum(sentence == AGREES for sentence, _ in of_start)} of {len(of_start)} from {start} "
        f"(comparisons that disagree: {sum(lines.count('disagrees') for _, lines in of_start)} of "
        f"{sum(len(lines) for _, lines in of_start)})"
        for start, of_start in said.items()
    )
    rows = [
        [claim.text, *(of_start[place][0] for of_start in said.values())]
        for place, claim in enumerate(next(iter(found.values())))
    ]
    return (
        "## The paper's conclusions, from each start\n\n"
        f"Text agrees with {counted}.\n\n{table(['conclusion', *found], rows)}"
    )


def verdict(claim: Claim) -> tuple[str, list[str]]:
    """Whether a claim holds, as a sentence, and the outcome of each comparison.

    >>> few = Comparison("a", [0.90, 0.91, 0.92], [0.10, 0.11, 0.13])
    >>> verdict(Claim("A is better.", "better", "", [few]))
    ('Text agrees.', ['agrees'])
    """
    found = [
        paired.outcome(large_is_good=comparison.large_is_good)
        for paired, comparison in zip(_paired(claim), claim.comparisons, strict=True)
    ]
    lines = [SAID[outcome] for outcome in found]
    known = [outcome for outcome in found if outcome is not Outcome.UNKNOWN]
    agree, against = known.count(Outcome.FIRST), known.count(Outcome.SECOND)
    if not known:
        return "Fewer than three seeds cannot tell.", lines
    if agree == len(known) or (claim.kind == "not worse" and not against):
        return AGREES, lines
    if against == len(known):
        return "Text disagrees.", lines
    if not agree and not against:
        return "Text shows no difference.", lines
    counts = {
        "agrees in": agree,
        "shows no difference in": len(known) - agree - against,
        "disagrees in": against,
    }
    parts = [f"{words} {count}" for words, count in counts.items() if count]
    return f"Of {len(known)} comparisons, text {', '.join(parts[:-1])} and {parts[-1]}.", lines


def _section(claim: Claim) -> str:
    sentence, said = verdict(claim)
    lines = []
    for comparison, paired, outcome in zip(claim.comparisons, _paired(claim), said, strict=True):
        lines.append(
            [
                comparison.line,
                number(_mean(comparison.first)),
                number(_mean(comparison.second)),
                difference((paired.mean, paired.low, paired.high)),
                outcome,
            ]
        )
    head = ["compared", "first", "second", "first − second", "text"]
    return (
        f"**{claim.text}** {sentence} {claim.measured[0].upper()}{claim.measured[1:]}.\n\n"
        f"{table(head, lines)}"
    )


def _against_tuples(found: Found) -> Iterator[Comparison]:
    for width in _values(found, "width"):
        of_width = [(arm, results) for arm, results in found if arm["width"] == width]
        tuples = [
            (arm, results)
            for arm, results in of_width
            if _name(arm) not in HEADS_AND_PROXIES
            and not math.isnan(_mean(_series(results, "validation_map_at_r")))
        ]
        if not tuples:
            continue
        best, rival = max(tuples, key=lambda line: _mean(_series(line[1], "validation_map_at_r")))
        for arm, results in of_width:
            if _name(arm) in HEADS_AND_PROXIES:
                yield Comparison(
                    f"{plain(arm['objective'])} and {plain(best['objective'])}, width {width}",
                    _series(results, "recall_at_1"),
                    _series(rival, "recall_at_1"),
                )


def _widest(found: Found) -> Iterator[Comparison]:
    yield from _extremes(found, "width", "width {largest} and {smallest}", largest_first=True)


def _fewest_classes(found: Found) -> Iterator[Comparison]:
    yield from _extremes(
        found, "classes a batch", "{smallest} classes and {largest}", largest_first=False
    )


def _extremes(
    found: Found, column: str, words: str, *, largest_first: bool
) -> Iterator[Comparison]:
    values = _values(found, column)
    if len(values) < 2:
        return
    smallest, largest = values[0], values[-1]
    for objective in dict.fromkeys(arm["objective"] for arm, _ in found):
        low, high = (
            _series(_of(found, objective=objective, **{column: value}), "recall_at_1")
            for value in (smallest, largest)
        )
        yield Comparison(
            f"{plain(objective)}: {words.format(smallest=smallest, largest=largest)}",
            *((high, low) if largest_first else (low, high)),
        )


def _bits_against_floats(found: Found) -> Iterator[Comparison]:
    widths = _values(found, "width")
    for floats in widths:
        if (bits := floats * BITS_OF_A_FLOAT) not in widths:
            continue
        for objective in dict.fromkeys(arm["objective"] for arm, _ in found):
            yield Comparison(
                f"{plain(objective)}: {bits} bits and {floats} floats",
                _series(_of(found, objective=objective, width=bits), "hamming_recall_at_1"),
                _series(_of(found, objective=objective, width=floats), "recall_at_1"),
            )


def _with_layer_norm(found: Found) -> Iterator[Comparison]:
    if not found:
        return
    normed, plain_ = (_of(found, **{"layer norm": variant}) for variant in ("with", "without"))
    yield Comparison("Recall@1", _series(normed, "recall_at_1"), _series(plain_, "recall_at_1"))
    yield Comparison("mean loss", _losses(normed), _losses(plain_), large_is_good=False)


def _of(found: Found, **columns: Any) -> list[Result]:
    """The results of the one line with these values."""
    (results,) = (
        results
        for arm, results in found
        if all(arm[column] == value for column, value in columns.items())
    )
    return results


def _values(found: Found, column: str) -> list[int]:
    return sorted({arm[column] for arm, _ in found})


def _name(arm: dict[str, Any]) -> str:
    """The objective without its parameters."""
    return str(arm["objective"]).split(" ")[0]


def _series(results: Sequence[Result], measure: str) -> list[float]:
    return [result.measures.get(measure, math.nan) for result in results]


def _losses(results: Sequence[Result]) -> list[float]:
    return [_mean(result.losses) for result in results]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _paired(claim: Claim) -> list[Paired]:
    return simultaneous_differences(
        [(comparison.first, comparison.second) for comparison in claim.comparisons]
    )
