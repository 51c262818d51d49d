"""The page of :mod:`studies.tuned`: what tuning changes, and what is left between objectives."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from scipy.stats import kendalltau, spearmanr

from studies import ranks
from studies.answers import comment
from studies.tuned_candidates import LEARNING_RATE
from studies.tuned_jobs import MEASURE, Chosen
from textmetric.grid import Baseline, Family
from textmetric.losses import OBJECTIVES, class_of
from textmetric.measures import Outcome, mean_interval, simultaneous_differences
from textmetric.measures.paired import Paired
from textmetric.params import Params
from textmetric.report.figures import new_figure
from textmetric.report.formats import (
    MISSING,
    difference,
    number,
    p_value,
    plain,
    table,
    with_interval,
    word,
)
from textmetric.report.looks import PALETTE
from textmetric.report.names import BASELINES, FAMILIES
from textmetric.text import TokenizedCorpus
from textmetric.types import Float64

TFIDF = BASELINES[Baseline.TFIDF]
AGAINST = ("cross_entropy", "triplet")
"""What the best tuned objective is compared with."""
COLOURS = {Family.CLASSIFICATION: PALETTE[0], Family.METRIC: PALETTE[1]}
NO_TEST = "no test"

Choices = Mapping[tuple[str, str], Chosen]
"""By the titles of corpus and candidate."""


class About(NamedTuple):
    """What the page says of the setting.

    Attributes:
        corpora: by title.
        params: of the untuned training.
        trials: of each search.
        search_seed: of the searches.
        sampler: of the untuned settings.
    """

    corpora: Mapping[str, TokenizedCorpus]
    params: Params
    trials: int
    search_seed: int
    sampler: str


def page(found: pd.DataFrame, beside: pd.DataFrame, choices: Choices, about: About) -> str:
    """The page in Markdown.

    Args:
        found: MAP@R on test: corpus, candidate, family, tuned, seed, map_at_r, error.
        beside: of the baselines: corpus, baseline, seed, map_at_r.
        choices: what the searches found.
        about: the setting.
    """
    moved, answer = _moves(found)
    best, best_said = _best(found, choices)
    above, order_said, above_said = _corpora(found, beside)
    answers = [
        comment(
            "Does tuning move MAP@R more than the choice of the objective? "
            '(Musgrave, Belongie & Lim 2020, "A Metric Learning Reality Check")',
            "MAP@R, every objective tuned with equal budgets",
            answer,
        ),
        comment(
            "Is the best tuned objective better than tuned cross-entropy and triplet?",
            "MAP@R",
            best_said,
        ),
        comment("Does tuning change which objective is best?", "MAP@R", order_said),
        comment("Do tuned objectives retrieve better than TF-IDF?", "MAP@R", above_said),
    ]
    parts = [
        "# A reality check: every objective tuned alike",
        "\n".join(answers),
        _setting(found, about),
        f"**Does tuning or the objective move more?** {answer}",
        f"**Is the best tuned objective better than tuned cross-entropy and triplet?** {best_said}",
        f"**Do tuned objectives retrieve better than TF-IDF?** {above_said}",
        f"**Does tuning change which objective is best?** {order_said}",
        "## League, tuned next to untuned",
        *_league(found, beside),
        "![MAP@R on test, untuned and tuned, by candidate](tuned-gain.png)",
        "Hollow: untuned, full: tuned, each the mean over the seeds. Dashed: TF-IDF; dotted: the "
        "untrained encoder.",
        "## Ranks over the corpora",
        *_ranked(found),
        "## Tuning against the objective",
        *moved,
        "## Does tuning change the order?",
        *above,
        "## The best tuned objective",
        *best,
        "## What was chosen",
        *_chosen(found, choices, about),
    ]
    if failures := _failures(found):
        parts += ["Trainings that ended early:", failures]
    return "\n\n".join(parts) + "\n"


def _setting(found: pd.DataFrame, about: About) -> str:
    train, model = about.params.train, about.params.model
    corpora = "; ".join(
        f"{plain(title)}: {len(corpus.label_names)} labels, {len(corpus.train):,} train, "
        f"{len(corpus.validation):,} validation and {len(corpus.test):,} test texts"
        for title, corpus in about.corpora.items()
    )
    seeds = found["seed"].nunique()
    return (
        'Musgrave, Belongie & Lim ("A Metric Learning Reality Check", ECCV 2020) tuned image '
        "losses with equal budgets and found much smaller differences between them than their "
        "papers claim. Here the same is asked of texts. Each of "
        f"{found['candidate'].nunique()} candidates gets {about.trials} trials on each corpus: "
        "Optuna's TPE chooses the learning rate "
        f"({LEARNING_RATE.low:g} to {LEARNING_RATE.high:g}), the central number of the objective "
        "(margin, temperature or scale), the miner where it has one, and the sampler where it does "
        "not bring its own batches. The first trial is the untuned setting: the objective's "
        f"default parameters, {about.sampler} batches, learning rate {train.lr:g}. Each trial is "
        f"one training with seed {about.search_seed}, judged by MAP@R on the validation part. The "
        f"best setting is then trained with {seeds} other seeds and measured on the test part, as "
        "is the untuned setting with the same seeds. The test part chooses nothing. "
        f"All have {model.dim} dimensions and {train.epochs} epochs of {train.optimizer} with "
        f"batches of {train.batch_size}. Cross-entropy has no parameter of its own, so that its "
        "trials are about the learning rate and the sampler alone.\n\n"
        "TextEnsemble has the same width in all: each of its 2, 4 or 8 members has a share, and is "
        "trained for as many epochs, so that it sees the texts as often as it has members. "
        "Mahalanobis learns its distance from the unit embeddings of cross-entropy of the same "
        "training, and is measured by that distance; all others by the cosine.\n\n"
        f"Each corpus is cut to at most {about.params.data.limit} train rows, and its other parts "
        f"by the same share. {corpora}. Intervals are of 95 % and cover seeds; they cover neither "
        "corpora, nor test texts, nor another search. `python -m studies.tuned` writes this page."
    )


def means(found: pd.DataFrame, *, tuned: bool) -> pd.DataFrame:
    """The mean over the seeds, a row a corpus, a column a candidate; NaN if a seed failed."""
    return _means(found[found["tuned"] == tuned], "corpus", "candidate")


def by_seed(found: pd.DataFrame, *, tuned: bool) -> pd.DataFrame:
    """The mean over the corpora, a row a seed, a column a candidate; NaN if a corpus failed."""
    return _means(found[found["tuned"] == tuned], "seed", "candidate")


def _means(rows: pd.DataFrame, index: str, column: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            str(name): cell.groupby(index, sort=False)[MEASURE].apply(
                lambda values: values.mean(skipna=False)
            )
            for name, cell in rows.groupby(column, sort=False)
        }
    )


def _league(found: pd.DataFrame, beside: pd.DataFrame) -> list[str]:
    tuned, untuned = by_seed(found, tuned=True), by_seed(found, tuned=False)
    places = [ranks.mean_ranks(means(found, tuned=tuned_)) for tuned_ in (True, False)]
    gains = gains_of(found)
    families = found.drop_duplicates("candidate").set_index("candidate")["family"]
    said = {Outcome.FIRST: "better", Outcome.SECOND: "worse", Outcome.UNKNOWN: NO_TEST}
    rows = [
        [
            plain(name),
            FAMILIES[families[name]],
            *(f"{place[name]:.1f}" for place in places),
            *(with_interval(mean_interval(of[name].to_numpy())) for of in (tuned, untuned)),
            difference([gains[name].mean, gains[name].low, gains[name].high]),
            said.get(gains[name].outcome(large_is_good=True), "no difference"),
        ]
        for name in places[0].index
    ]
    for baseline, cell in beside.groupby("baseline", sort=False):
        values = cell.groupby("seed")[MEASURE].mean().to_numpy()
        rows.append([str(baseline), "baseline", MISSING, MISSING,
                     with_interval(mean_interval(values)), *[MISSING] * 3])  # fmt: skip
    outcomes = [gain.outcome(large_is_good=True) for gain in gains.values()]
    return [
        f"MAP@R on test, the mean over {found['corpus'].nunique()} corpora. Tuning makes "
        f"{outcomes.count(Outcome.FIRST)} of {len(outcomes)} candidates better and "
        f"{outcomes.count(Outcome.SECOND)} worse, paired by seed and corrected for their number.",
        table(
            ["candidate", "family", "mean rank tuned", "untuned", "MAP@R tuned", "untuned",
             "gain", "by tuning"],
            rows,
        ),
    ]  # fmt: skip


def gains_of(found: pd.DataFrame) -> dict[str, Paired]:
    """Tuned − untuned of each candidate, the mean over the corpora, paired by seed."""
    tuned, untuned = by_seed(found, tuned=True), by_seed(found, tuned=False)
    judged = simultaneous_differences(
        [(tuned[name].to_numpy(), untuned[name].to_numpy()) for name in tuned]
    )
    return dict(zip(map(str, tuned), judged, strict=True))


def _ranked(found: pd.DataFrame) -> list[str]:
    corpora, candidates = found["corpus"].nunique(), found["candidate"].nunique()
    if min(corpora, candidates) < 2:
        return ["One corpus or one candidate has no test of ranks."]
    gap = ranks.critical_difference(candidates, corpora)
    said = []
    for tuned, word_ in ((True, "Tuned"), (False, "Untuned")):
        mean = ranks.mean_ranks(means(found, tuned=tuned))
        test = ranks.friedman(mean.tolist(), corpora)
        values = mean.to_numpy()
        apart = int((np.abs(values[:, None] - values) >= gap).sum()) // 2
        beside = [plain(str(name)) for name, rank in mean.items() if rank - values[0] < gap][1:]
        said.append(
            f"{word_}: Friedman's χ² is {test.statistic:.1f} (p {_p(test.p)}), Iman and "
            f"Davenport's F is {test.f:.2f} (p {_p(test.f_p)}). {apart} of "
            f"{candidates * (candidates - 1) // 2} pairs differ; {plain(str(mean.index[0]))} has "
            f"the best mean rank, and {len(beside)} others cannot be told from it."
        )
    return [
        f"The candidates are ranked on each corpus by their mean MAP@R on test; one that failed "
        f"comes last. By Nemenyi's test, two differ if their mean ranks over {corpora} corpora are "
        f"at least {gap:.2f} apart (Demšar, JMLR 2006; α = .05, corrected for all pairs). This "
        "test asks whether the order would be the same on other corpora.",
        *said,
        "![critical-difference diagram of the tuned candidates](tuned.png)",
        "The lower the mean rank, the better. A bar is over candidates that do not differ.",
    ]


def _p(value: float) -> str:
    found = p_value(value)
    return found if found.startswith("<") else f"= {found}"


class Moves(NamedTuple):
    """How far MAP@R moves, a value a seed, each the root of a mean square.

    Attributes:
        tuning: tuned − untuned, over the objectives.
        untuned: the difference between two objectives, over all pairs, with untuned settings.
        tuned: the same with tuned ones.
    """

    tuning: Float64
    untuned: Float64
    tuned: Float64


def moves(tuned: pd.DataFrame, untuned: pd.DataFrame) -> Moves:
    """What moves MAP@R more, another setting or another objective?

    Args:
        tuned: (seeds, k) values of k objectives, two or more.
        untuned: the same.
    """
    first, second = tuned.to_numpy(), untuned.to_numpy()

    def between(values: Float64) -> Float64:
        # the mean over all pairs of (a − b)² is twice the variance with k − 1
        return np.asarray(np.sqrt(2 * values.var(axis=1, ddof=1)))

    tuning = np.sqrt(np.square(first - second).mean(axis=1))
    return Moves(np.asarray(tuning), between(second), between(first))


def _moves(found: pd.DataFrame) -> tuple[list[str], str]:
    """The section, and the verdict in one sentence."""
    tuned, untuned = by_seed(found, tuned=True), by_seed(found, tuned=False)
    whole = [name for name in tuned if not (tuned[name].isna() | untuned[name].isna()).any()]
    every = [name for names in OBJECTIVES.values() for name in names if name in whole]
    groups = {"all objectives": every}
    supervised = [name for name in every if class_of(name).NEEDS_LABELS]
    if len(supervised) < len(every):
        groups["objectives that use labels"] = supervised
    groups = {name: names for name, names in groups.items() if len(names) > 1}
    if not groups:
        said = "Fewer than two objectives were trained on every corpus."
        return [said], said
    measured = {name: moves(tuned[names], untuned[names]) for name, names in groups.items()}
    judged = simultaneous_differences(
        [(each.tuning, other) for each in measured.values() for other in (each.untuned, each.tuned)]
    )
    words = {
        Outcome.FIRST: "tuning moves more",
        Outcome.SECOND: "the objective moves more",
        Outcome.UNKNOWN: NO_TEST,
    }
    rows, verdicts = [], {}
    for place, (name, each) in enumerate(measured.items()):
        outcomes = [one.outcome(large_is_good=True) for one in judged[2 * place : 2 * place + 2]]
        verdicts[name] = [words.get(outcome, "no difference") for outcome in outcomes]
        rows.append(
            [f"{name} ({len(groups[name])})"]
            + [with_interval(mean_interval(values)) for values in each]
            + verdicts[name]
        )
    *others, name = measured  # the last: those that use labels, where there are others
    each = measured[name]
    tuning, before, after = (float(values.mean()) for values in each)
    answer = " ".join(
        [
            f"Of {len(groups[name])} {name}: {_verdict(*verdicts[name])}. Tuning changes mean "
            f"MAP@R by {number(tuning)}; two objectives differ by {number(before)} untuned and by "
            f"{number(after)} tuned (root mean squares).",
            *(
                f"Of {other} ({len(groups[other])}): {_verdict(*verdicts[other])}."
                for other in others
            ),
        ]
    )
    return [
        "Each column is a root mean square: of the gain of tuning over the objectives, and of the "
        "difference between two objectives over all pairs, both of the mean over the corpora. The "
        "verdicts compare tuning with either, paired by seed and corrected for their number.",
        table(
            ["objectives", "tuning", "between two, untuned", "between two, tuned",
             "tuning against untuned", "tuning against tuned"],
            rows,
        ),
        _shrunk(measured[name], name),
    ], answer  # fmt: skip


def _verdict(untuned: str, tuned: str) -> str:
    if untuned == tuned:
        return f"{tuned}, compared with untuned and with tuned objectives"
    return f"compared with untuned objectives {untuned}, compared with tuned ones {tuned}"


def _shrunk(each: Moves, name: str) -> str:
    one = simultaneous_differences([(each.tuned, each.untuned)])[0]
    said = {
        Outcome.FIRST: "Tuning moves them apart",
        Outcome.SECOND: "Tuning brings them together",
        Outcome.UNKNOWN: "There is no test of whether tuning brings them together",
    }.get(one.outcome(large_is_good=True), "Tuning neither moves them apart nor together")
    found = difference([one.mean, one.low, one.high])
    return f"{said}: the difference between two {name} changes by {found}."


def _corpora(found: pd.DataFrame, beside: pd.DataFrame) -> tuple[list[str], str, str]:
    """The order on each corpus, and who is above TF-IDF; both in one sentence too."""
    tuned, untuned = means(found, tuned=True), means(found, tuned=False)
    tfidf = beside[beside["baseline"] == TFIDF].set_index("corpus")[MEASURE]
    pairs, places = [], []
    for (corpus, name), cell in found[found["tuned"]].groupby(["corpus", "candidate"], sort=False):
        if name in _names():
            values = cell.sort_values("seed")[MEASURE].to_numpy()
            pairs.append((values, np.full(len(values), tfidf[str(corpus)])))
            places.append(str(corpus))
    judged = simultaneous_differences(pairs)
    clear = dict.fromkeys(map(str, tuned.index), 0)
    for corpus, one in zip(places, judged, strict=True):
        clear[corpus] += one.outcome(large_is_good=True) is Outcome.FIRST
    objectives = [name for name in tuned if name in _names()]
    rows, said, orders = [], [], []
    for corpus in map(str, tuned.index):
        after, before = tuned.T[corpus], untuned.T[corpus]
        both = after.notna() & before.notna()
        tau, rho = (
            float(test(after[both], before[both]).statistic) if both.sum() > 1 else math.nan
            for test in (kendalltau, spearmanr)
        )
        orders.append(tau)
        counts = [int((each[objectives] > tfidf[corpus]).sum()) for each in (before, after)]
        said.append(f"{plain(corpus)} {counts[1]}")
        rows.append(
            [
                plain(corpus),
                *(number(value) for value in (tau, rho)),
                *(_first(values) for values in (before, after)),
                number(float(tfidf[corpus])),
                *(str(count) for count in (*counts, clear[corpus])),
            ]
        )
    untuned_first = sum(_first(tuned.T[c]) == _first(untuned.T[c]) for c in tuned.index)
    order = (
        f"The best candidate on test is the same on {untuned_first} of {len(tuned)} corpora; "
        "Kendall's τ between the untuned and the tuned order is "
        f"{number(float(np.mean(orders)))} on average."
    )
    answer = (
        f"Of {len(objectives)} tuned objectives, this many are above TF-IDF on the test part: "
        f"{', '.join(said)}; {sum(clear.values())} of {len(judged)} with an interval that excludes "
        "TF-IDF."
    )
    return [
        f"{order} The last column counts the tuned objectives whose interval is above TF-IDF, "
        "corrected for all of this table.",
        table(
            ["corpus", "Kendall's τ", "Spearman's ρ", "best untuned", "best tuned", "TF-IDF",
             f"above it, untuned (of {len(objectives)})", "tuned", "clearly"],
            rows,
        ),
    ], order, answer  # fmt: skip


def _names() -> set[str]:
    return {name for names in OBJECTIVES.values() for name in names}


def _first(values: pd.Series) -> str:
    return plain(str(values.idxmax())) if values.notna().any() else MISSING


def _best(found: pd.DataFrame, choices: Choices) -> tuple[list[str], str]:
    """The objective that is best on validation against each of :data:`AGAINST`, on each corpus."""
    pairs, rows = [], []
    tuned = found[found["tuned"]]
    for corpus, cell in tuned.groupby("corpus", sort=False):
        series = {
            str(name): rows_.sort_values("seed")[MEASURE].to_numpy()
            for name, rows_ in cell.groupby("candidate", sort=False)
            if name in _names()
        }
        on_validation = {
            name: value
            for name in series
            if not math.isnan(value := choices[str(corpus), name].value)
        }
        if not on_validation:
            continue
        best = max(on_validation, key=lambda name: on_validation[name])
        for other in AGAINST:
            if other in series and other != best:
                pairs.append((series[best], series[other]))
                rows.append([plain(str(corpus)), f"{plain(best)} − {plain(other)}"])
    if not pairs:
        said = f"It was not compared with {' or '.join(map(plain, AGAINST))}."
        return [said], said
    judged = simultaneous_differences(pairs)
    outcomes = [one.outcome(large_is_good=True) for one in judged]
    words = {Outcome.FIRST: "better", Outcome.SECOND: "worse", Outcome.UNKNOWN: NO_TEST}
    said = (
        f"The objective that is best on validation is better in {outcomes.count(Outcome.FIRST)} of "
        f"{len(pairs)} comparisons on test and worse in {outcomes.count(Outcome.SECOND)}."
    )
    return [
        f"{said} Which objective is best is chosen on validation. Paired by seed, corrected for "
        "the number of comparisons.",
        table(
            ["corpus", "MAP@R", "difference", "verdict"],
            [
                [*row, difference([one.mean, one.low, one.high]),
                 words.get(outcome, "no difference")]
                for row, one, outcome in zip(rows, judged, outcomes, strict=True)
            ],
        ),
    ], said  # fmt: skip


def _chosen(found: pd.DataFrame, choices: Choices, about: About) -> list[str]:
    rates = [choice.setting["lr"] for choice in choices.values() if choice.setting]
    lr = about.params.train.lr
    parts = [
        "MAP@R on test, and the setting with the best MAP@R on validation. The learning rate is "
        f"above {lr:g}, the untuned one, in {sum(rate > lr for rate in rates)} of {len(rates)} "
        f"chosen settings; their median is {_short(float(np.median(rates)))}. With few train rows "
        "there are few steps, so a part of the gain may be that of a larger learning rate; how "
        "large a part is not measured here."
    ]
    for corpus in about.corpora:
        cell = found[found["corpus"] == corpus]
        values = {
            (name, tuned): rows[MEASURE].to_numpy()
            for (name, tuned), rows in cell.groupby(["candidate", "tuned"], sort=False)
        }
        order = means(cell, tuned=True).T[corpus].sort_values(ascending=False)
        rows = []
        for name in map(str, order.index):
            choice = choices[corpus, name]
            setting = ", ".join(f"{key} {_short(of)}" for key, of in (choice.setting or {}).items())
            failed = sum(each["value"] is None for each in choice.tried)
            rows.append(
                [plain(name)]
                + [with_interval(mean_interval(values[name, tuned])) for tuned in (True, False)]
                + [number(choice.value), setting or MISSING, str(failed)]
            )
        head = ["candidate", "tuned", "untuned", "validation", "chosen", "failed trials"]
        parts += [f"### {plain(corpus)}", table(head, rows)]
    return parts


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else word(value)


def _failures(found: pd.DataFrame) -> str:
    failed = found[found["error"].notna()]
    return "\n".join(
        f"- {plain(row['candidate'])}, {plain(row['corpus'])}, "
        f"{'tuned' if row['tuned'] else 'untuned'}, seed {row['seed']}: {plain(row['error'])}"
        for row in failed.drop_duplicates(["candidate", "corpus", "tuned"]).to_dict("records")
    )


def draw_ranks(path: str | os.PathLike[str], found: pd.DataFrame) -> None:
    """Draw the critical-difference diagram of the tuned candidates."""
    mean = ranks.mean_ranks(means(found, tuned=True))
    families = found.drop_duplicates("candidate").set_index("candidate")["family"]
    ranks.draw(
        path,
        mean,
        ranks.critical_difference(len(mean), found["corpus"].nunique()),
        {str(name): COLOURS[family] for name, family in families.items()},
        {FAMILIES[family]: colour for family, colour in COLOURS.items()},
    )


def draw_gains(
    path: str | os.PathLike[str], found: pd.DataFrame, beside: pd.DataFrame, across: int = 4
) -> None:
    """Draw untuned and tuned means: a panel a corpus, the first for all, a row a candidate."""
    tuned, untuned = means(found, tuned=True), means(found, tuned=False)
    others = _means(beside, "corpus", "baseline")
    panels: dict[str, Any] = {
        str(corpus): [each.loc[corpus] for each in (tuned, untuned, others)]
        for corpus in tuned.index
    }
    if len(panels) > 1:
        mean = [each.mean(skipna=False) for each in (tuned, untuned, others)]
        panels = {f"mean of {len(panels)} corpora": mean} | panels
    order = list(tuned.mean().sort_values(ascending=False, na_position="last").index)
    families = found.drop_duplicates("candidate").set_index("candidate")["family"]
    across = min(across, len(panels))
    down = math.ceil(len(panels) / across)
    with new_figure(path, 2.1 * across + 1.7, (0.19 * len(order) + 0.7) * down + 0.4) as figure:
        axes = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        for axis, (title, (after, before, lines)) in zip(axes, panels.items(), strict=False):
            for place, name in enumerate(order):
                colour = COLOURS[families[name]]
                axis.plot([before[name], after[name]], [place] * 2, color=colour, linewidth=1)
                axis.plot(before[name], place, "o", color=colour, mfc="white", markersize=4)
                axis.plot(after[name], place, "o", color=colour, markersize=4)
            for stroke, baseline in zip(("--", ":"), BASELINES.values(), strict=True):
                axis.axvline(lines[baseline], color="#555555", linestyle=stroke, linewidth=1)
            axis.set_title(title, fontsize=9)
            axis.tick_params(labelsize=8)
        axes[0].set_yticks(range(len(order)), order)
        axes[0].invert_yaxis()
        figure.legend(
            [
                *(Line2D([], [], color=colour, marker="o") for colour in COLOURS.values()),
                *(Line2D([], [], color="#555555", linestyle=stroke) for stroke in ("--", ":")),
            ],
            [*(FAMILIES[family] for family in COLOURS), *BASELINES.values()],
            loc="outside lower center",
            ncols=4,
            fontsize=8,
        )
