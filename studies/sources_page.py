"""The page and the pictures of the transfers of :mod:`studies.sources`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from studies import answers, charts
from studies.sources_jobs import accuracy_of
from textmetric.errors import UserError
from textmetric.measures import (
    Outcome,
    mean_interval,
    paired_difference,
    simultaneous_differences,
)
from textmetric.params import Params
from textmetric.report.figures import new_figure
from textmetric.report.formats import MISSING, difference, number, plain, table, with_interval
from textmetric.report.looks import PALETTE
from textmetric.sampling.streams import Stream, generator_of
from textmetric.text import TokenizedCorpus
from textmetric.training.finetuning import TUNINGS, Tuning
from textmetric.types import Float64

MEASURES = {
    "cohesion": "cohesion",
    "between_class_cosine": "between-class cosine",
    "gap": "gap",
    "map_at_r": "MAP@R",
    "recall_at_1": "Recall@1",
    "knn_accuracy": "k-NN accuracy",
    "kmeans_ami": "AMI of k-means",
    "verification_auc": "verification AUC",
    "uniformity": "uniformity",
    "spectral_decay": "spectral decay",
}
"""Of a source model on the source's test part."""
STARTS = {
    "classes": "trained on the classes",
    "clusters": "trained on clusters",
    "shuffled": "trained on shuffled labels",
    "dealt": "its vectors dealt to other tokens",
    "random": "random vectors",
}
COMPARED = (
    ("clusters", "random"),
    ("clusters", "classes"),
    ("classes", "random"),
    ("shuffled", "random"),
    ("dealt", "random"),
)
WORDS: dict[Tuning, str] = {"frozen": "frozen", "finetuned": "fine-tuned"}
PULLED = {"class": "the texts of a class", "all": "all texts"}
DRAWS = 1000
LEVEL = 0.95


class Found(NamedTuple):
    """What the jobs gave, a row each; NaN where a training failed.

    Attributes:
        bank: pair, family, objective, lr, seed, and the results of :func:`.run_sources`.
        dialled: pair, pull, objective, step, weight, last, seed, and the results.
        starts: pair, start, objective, seed, and the results.
    """

    bank: pd.DataFrame
    dialled: pd.DataFrame
    starts: pd.DataFrame


class About(NamedTuple):
    """What was trained on what.

    Attributes:
        pairs: title, source and target.
        params: of all trainings.
        tanh: whether the head of the target ends in tanh.
        seeds: of the dials and the starts.
        of_bank: of the bank.
        rates: learning rates of the bank.
        settings: the number of objectives.
    """

    pairs: Sequence[tuple[str, TokenizedCorpus, TokenizedCorpus]]
    params: Params
    tanh: bool
    seeds: Sequence[int]
    of_bank: Sequence[int]
    rates: Sequence[float]
    settings: int

    @property
    def conditions(self) -> dict[str, str]:
        """The columns of the accuracies, and their titles."""
        return {
            accuracy_of(tuning, share): f"{WORDS[tuning]}, {share * 100:g} %"
            for tuning in TUNINGS
            for share in self.params.finetune.shares
        }


def correlations(bank: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """Rank correlations (Spearman) of the measures of the source with the accuracies of the target.

    Models of one objective are alike, so the intervals come from a bootstrap that draws whole
    objectives, the same ones for every pair: mean ± z · standard deviation of the draws, at 95 %
    for all cells of a pair together (Bonferroni).

    Args:
        bank: see :class:`Found`.
        conditions: columns of the accuracies.

    Returns:
        Columns pair (``""`` for the mean over the pairs), measure, condition, mean, low, high. NaN
        if there are fewer than three objectives.

    Raises:
        UserError: no model has all values.
    """
    columns = [*MEASURES, *conditions]
    usable = bank.dropna(subset=columns)
    if usable.empty:
        raise UserError(
            "every training of the bank diverged or collapsed: give other --rates or --objectives"
        )
    names = sorted(set(usable["objective"]))
    tables = {
        title: [cell.loc[cell["objective"] == name, columns].to_numpy(np.float64) for name in names]
        for title, cell in usable.groupby("pair", sort=False)
    }
    generator = generator_of(0, Stream.RESAMPLES)
    drawn = [range(len(names)), *generator.integers(len(names), size=(DRAWS, len(names)))]
    found = np.array(
        [
            [_ranks(np.concatenate([of_pair[place] for place in places])) for places in drawn]
            for of_pair in tables.values()
        ]
    )  # pairs, 1 + draws, measures, conditions
    half = norm.ppf(1 - (1 - LEVEL) / 2 / (len(MEASURES) * len(conditions)))
    rows = []
    for title, cells in [("", found.mean(axis=0)), *zip(tables, found, strict=True)]:
        known = np.ma.masked_invalid(cells[1:])  # a draw may hold one value of a measure alone
        spread = known.std(axis=0, ddof=1).filled(np.nan) if len(names) > 2 else np.nan * cells[0]
        for (measure, condition), mean in np.ndenumerate(cells[0]):
            reach = half * spread[measure, condition]
            place = [title, list(MEASURES)[measure], conditions[condition]]
            rows.append([*place, mean, mean - reach, mean + reach])
    return pd.DataFrame(rows, columns=["pair", "measure", "condition", "mean", "low", "high"])


def _ranks(values: Float64) -> Float64:
    """(measures, conditions): Spearman's correlation of the first columns with the others."""
    ranks = rankdata(values, axis=0)
    ranks -= ranks.mean(axis=0)
    lengths = np.linalg.norm(ranks, axis=0)
    ranks /= np.where(lengths > 0, lengths, np.nan)
    split = len(MEASURES)
    found: Float64 = ranks[:, :split].T @ ranks[:, split:]
    return found


class End(NamedTuple):
    """The two ends of a dial, paired by seed.

    Attributes:
        pair: title.
        pull: which texts.
        objective: that is pulled.
        weights: the first and the last.
        first: the row of each seed at the first weight.
        last: and at the last.
    """

    pair: str
    pull: str
    objective: str
    weights: tuple[float, float]
    first: pd.DataFrame
    last: pd.DataFrame

    def of(self, column: str) -> tuple[Float64, Float64]:
        """A column at the last and at the first weight, by seed."""
        return self.last[column].to_numpy(), self.first[column].to_numpy()


def ends(dialled: pd.DataFrame) -> list[End]:
    """The ends of each dial."""
    found = []
    for (title, pull), cell in dialled.groupby(["pair", "pull"], sort=False):
        ordered = cell.sort_values("seed")
        first, last = ordered[ordered["step"] == 0], ordered[ordered["last"]]
        found.append(
            End(
                str(title),
                str(pull),
                str(cell["objective"].iloc[0]),
                (float(first["weight"].iloc[0]), float(last["weight"].iloc[0])),
                first,
                last,
            )
        )
    return found


def page(found: Found, about: About) -> str:
    """The page in Markdown."""
    corpora = "; ".join(
        f"{plain(title)}: {len(source.train):,} train and {len(source.test):,} test texts in "
        f"{len(source.label_names)} classes, then {len(target.train):,} and {len(target.test):,} "
        f"in {len(target.label_names)}"
        for title, source, target in about.pairs
    )
    conditions = list(about.conditions)
    correlated = correlations(found.bank, conditions)
    bank, of_bank = _bank(found.bank, correlated, about)
    dial, of_dial = _dial(ends(found.dialled), about)
    starts, of_starts = _starts(found.starts, about)
    params = about.params
    heads = "ends in tanh, as the original's" if about.tanh else "has no tanh"
    parts = [
        "# Which source models transfer, and does their cohesion matter?",
        "\n".join(
            [
                answers.comment(
                    "Is classifying clusters of embeddings more helpful for fine-tuning? (9-1)",
                    "accuracy on the target after the transfer",
                    of_starts,
                ),
                answers.comment(
                    "How does high cohesion affect fine-tuning? (9-2)",
                    "accuracy on the target, from both ends of a dial of cohesion",
                    of_dial,
                ),
                answers.comment(
                    "Which measure of a source model says how well it transfers?",
                    "rank correlation with the accuracy on the target",
                    of_bank,
                ),
            ]
        ),
        "The original study asked and left open: is classifying clusters of embeddings more "
        "helpful for fine-tuning (9-1), and how does high cohesion affect fine-tuning (9-2)? Here "
        "models of a source corpus are transferred to a target that shares no text with it: "
        f"{corpora}. The head of the target {heads}; it is trained on the embeddings as they are "
        f"(frozen), or with them (fine-tuned), for {params.finetune.epochs} epochs, on a share of "
        f"the target's labels. {params.train.epochs} epochs on the source, {params.model.dim} "
        f"dimensions, {len(about.seeds)} seeds. `python -m studies.sources` writes this page.",
        f"- **9-1**, a source that classified clusters. {of_starts}.\n- **9-2**. {of_dial}.\n"
        f"- **Measures**. {of_bank}.",
        *starts,
        *dial,
        *bank,
    ]
    return "\n\n".join(parts) + "\n"


def _starts(starts: pd.DataFrame, about: About) -> tuple[list[str], str]:
    """The section on 9-1, and its answer."""
    conditions = about.conditions
    rows = []
    for (title, objective), cell in starts.groupby(["pair", "objective"], sort=False):
        for start, name in STARTS.items():
            of_start = cell[cell["start"] == start]
            values = [with_interval(mean_interval(of_start[key].to_numpy())) for key in conditions]
            rows.append([plain(str(title)), plain(str(objective)), name, *values])
    by_start = [
        {start: of_start.sort_values("seed") for start, of_start in cell.groupby("start")}
        for _, cell in starts.groupby(["pair", "objective"], sort=False)
    ]
    counts = {
        (first, second): [
            one.outcome(large_is_good=True)
            for one in simultaneous_differences(
                [
                    (cell[first][key].to_numpy(), cell[second][key].to_numpy())
                    for cell in by_start
                    for key in conditions
                ]
            )
        ]
        for first, second in COMPARED
    }
    lines = [
        [STARTS[first], STARTS[second], *_counts(outcomes, about)]
        for (first, second), outcomes in counts.items()
    ]
    said = ". ".join(
        f"{against}: {_said(counts[pair], about)}"
        for pair, against in (
            (("clusters", "random"), "Against random vectors"),
            (("clusters", "classes"), "Against a source that classified its classes"),
        )
    )
    section = [
        "## 9-1: what the source was trained on",
        "The target starts from token vectors of a source that was trained on its classes; on as "
        "many clusters of its texts, which k-means found in their LSA embeddings without a label; "
        "on its labels, dealt to its texts at random; on its classes, with the trained vectors "
        "dealt to other tokens afterwards, so that their distribution is the same; and from random "
        "vectors, without a source. Mean ± half of the 95 % interval over the seeds.",
        table(["pair", "objective", "start", *conditions.values()], rows),
        "![accuracy on the target by the share of its labels, from each start](sources-starts.png)",
        "Differences paired by seed, those of a line corrected for their number:",
        table(["start", "against", *WORDS.values()], lines),
    ]
    return section, said


def _dial(dials: Sequence[End], about: About) -> tuple[list[str], str]:
    """The section on 9-2, and its answer."""
    conditions = about.conditions
    judged = {
        pull: iter(
            simultaneous_differences(
                [end.of(key) for end in dials if end.pull == pull for key in conditions]
            )
        )
        for pull in PULLED
    }
    rows, moved, outcomes = [], [], {pull: list[Outcome]() for pull in PULLED}
    for end in dials:
        of_end = [next(judged[end.pull]) for _ in conditions]
        outcomes[end.pull] += [one.outcome(large_is_good=True) for one in of_end]
        moves = [paired_difference(*end.of(key)) for key in ("cohesion", "map_at_r")]
        moved.append((end.pull, *(one.mean for one in moves)))
        rows.append(
            [plain(end.pair), PULLED[end.pull], plain(end.objective)]
            + [f"{end.weights[0]:g} to {end.weights[1]:g}"]
            + [number(float(np.mean(side))) for side in end.of("cohesion")[::-1]]
            + [difference([one.mean, one.low, one.high]) for one in moves[1:] + of_end]
        )
    of_class = [move for move in moved if move[0] == "class"]
    if not of_class:
        said = "No weight moves cohesion with MAP@R unchanged"
    else:
        found = outcomes["class"]
        cohesions, retrievals = zip(*(move[1:] for move in of_class), strict=True)
        said = (
            f"With cohesion up by {_range(cohesions)} and MAP@R changed by {_range(retrievals)}: "
            f"{_said(found, about)}"
        )
    head = ["pair", "pulled together", "objective", "weight", "cohesion, first", "last"]
    head += ["MAP@R", *conditions.values()]
    other = outcomes["all"]
    section = [
        "## 9-2: a dial of cohesion",
        "A weight w on pulling together the texts of a class, L + w · mean(1 − cos), moves their "
        "cohesion. MAP@R first rises with w, then falls, so that there are two weights with the "
        "same. On validation, with seeds that are not used again, that of three objectives and "
        "those two weights are chosen which differ most in cohesion and by at most .005 in MAP@R; "
        "the target has no part in it. As a control, such a weight pulls all texts together, of "
        "whatever class. The columns on the right are differences last − first, paired by seed; "
        "those of accuracies are corrected for their number, those of the control apart.",
        table(head, rows),
        f"Pulling all texts together: {_said(other, about)}.",
        "![accuracy on the target by the cohesion of the source, of the bank and along the dials]"
        "(sources-dial.png)",
    ]
    return section, said


def _counts(outcomes: Sequence[Outcome], about: About) -> list[str]:
    """For each tuning, how many are better and worse; outcomes in the order of the conditions."""
    shares = len(about.params.finetune.shares)
    found = []
    for place in range(len(TUNINGS)):
        of_tuning = [one for i, one in enumerate(outcomes) if i // shares % len(TUNINGS) == place]
        better, worse = (of_tuning.count(outcome) for outcome in (Outcome.FIRST, Outcome.SECOND))
        found.append(f"better in {better} of {len(of_tuning)}, worse in {worse}")
    return found


def _said(outcomes: Sequence[Outcome], about: About) -> str:
    counts = zip(WORDS.values(), _counts(outcomes, about), strict=True)
    return "; ".join(f"{tuning}, {count}" for tuning, count in counts)


def _range(values: Sequence[float]) -> str:
    low, high = (f"{value:+.2f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _bank(bank: pd.DataFrame, correlated: pd.DataFrame, about: About) -> tuple[list[str], str]:
    """The section on the measures, and its answer."""
    conditions = about.conditions
    places = correlated[["pair", "measure", "condition"]].itertuples(index=False, name=None)
    intervals = correlated[["mean", "low", "high"]].to_numpy(np.float64)
    cells = dict(zip(places, intervals, strict=True))
    said = []
    for key, title in conditions.items():
        column = {measure: cells["", measure, key] for measure in MEASURES}
        known = [measure for measure, (mean, _, _) in column.items() if not math.isnan(mean)]
        if known:
            best = max(known, key=lambda measure: abs(column[measure][0]))
            said.append(f"{title} labels: {MEASURES[best]} ({_signed(column[best])})")
    of_cohesion = [cells["", "cohesion", key] for key in conditions]
    above = sum(low > 0 or high < 0 for _, low, high in of_cohesion)
    answer = (
        f"The strongest mean correlations: {'; '.join(said)}. That of cohesion differs from 0 in "
        f"{above} of {len(conditions)} conditions"
    )
    parts = [
        "## A bank of source models",
        f"{len(bank):,} models: {about.settings} objectives × learning rates "
        f"{', '.join(f'{rate:g}' for rate in about.rates)} × {len(about.of_bank)} seeds, on "
        f"{bank['pair'].nunique()} pairs{_failed(bank)}. The rank correlation (Spearman) of each "
        "measure on the source's test part with the accuracy on the target's; its mean over the "
        "pairs, with an interval that covers other objectives like these (a bootstrap of whole "
        f"objectives, corrected for the {len(MEASURES) * len(conditions)} cells). A correlation is "
        "no effect: objectives differ in more than one measure.",
        table(
            ["measure", *conditions.values()],
            [
                [title, *(_signed(cells["", measure, key]) for key in conditions)]
                for measure, title in MEASURES.items()
            ],
        ),
        "![rank correlations of ten measures with the accuracy on the target](sources.png)",
        "*Uniformity* is that of Wang & Isola (2020), the lower the more uniform; *spectral decay* "
        "is ρ of Roth et al. (2020), the higher the fewer directions are used.",
    ]
    return parts, answer


def _failed(bank: pd.DataFrame) -> str:
    failed = bank[bank["cohesion"].isna()]
    if failed.empty:
        return ""
    names = ", ".join(plain(str(name)) for name in dict.fromkeys(failed["objective"]))
    return f" ({len(failed):,} of them, by {names}, diverged or collapsed and are left out)"


def _signed(interval: Float64) -> str:
    mean, low, high = interval
    if math.isnan(mean):
        return MISSING
    return f"{mean:+.2f}" + ("" if math.isnan(low) else f" ± {(high - low) / 2:.2f}")


def draw(found: Found, about: About, out: Path) -> list[Path]:
    """The three pictures, in the folder ``out``."""
    names = ["sources.png", "sources-dial.png", "sources-starts.png"]
    paths = [out / name for name in names]
    _draw_correlations(paths[0], correlations(found.bank, list(about.conditions)), about)
    _draw_dials(paths[1], found, about)
    _draw_starts(paths[2], found.starts, about)
    return paths


def _draw_correlations(path: Path, correlated: pd.DataFrame, about: About) -> None:
    titles = ["", *(title for title, _, _ in about.pairs)]
    conditions = about.conditions
    with new_figure(path, 1.9 + 2.5 * len(titles), 4.4) as figure:
        axes = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        for axis, title in zip(axes, titles, strict=True):
            of_pair = correlated.loc[correlated["pair"] == title, "mean"]  # measure by measure
            values = of_pair.to_numpy().reshape(len(MEASURES), len(conditions))
            image = axis.imshow(values, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1)
            for (row, column), value in np.ndenumerate(values):
                if not math.isnan(value):
                    colour = "white" if abs(value) > 0.6 else "black"
                    axis.text(
                        column, row, f"{value:+.2f}".replace("0.", "."), ha="center", va="center",
                        fontsize=6.5, color=colour,
                    )  # fmt: skip
            axis.set_title(title.replace(" → ", "\n→ ") or "mean over the pairs", fontsize=8)
            axis.set_xticks(range(len(conditions)), list(conditions.values()), rotation=90)
            axis.set_yticks(range(len(MEASURES)), list(MEASURES.values()))
            axis.grid(visible=False)
        figure.colorbar(image, ax=axes).set_label("rank correlation")


def _draw_dials(path: Path, found: Found, about: About) -> None:
    shares = about.params.finetune.shares
    shown = [accuracy_of("frozen", max(shares)), accuracy_of("finetuned", min(shares))]
    looks = {"class": (PALETTE[2], "o"), "all": (PALETTE[3], "D")}
    titles = [title for title, _, _ in about.pairs]
    with new_figure(path, 0.6 + 3 * len(titles), 5.6) as figure:
        axes = figure.subplots(len(shown), len(titles), squeeze=False)
        for (row, column), axis in np.ndenumerate(axes):
            key, title = shown[row], titles[column]
            bank = found.bank[found.bank["pair"] == title]
            axis.scatter(bank["cohesion"], bank[key], s=7, color="#BBBBBB", label="bank")
            for pull, (colour, form) in looks.items():
                dial = found.dialled
                dial = dial[(dial["pair"] == title) & (dial["pull"] == pull)]
                means = dial.groupby("step")[["cohesion", key]].mean()
                axis.plot(
                    means["cohesion"], means[key], color=colour, marker=form, markersize=4,
                    label=f"dial: {PULLED[pull]}",
                )  # fmt: skip
            if row == 0:
                axis.set_title(title.replace(" → ", "\n→ "), fontsize=8)
            axis.set_xlabel("cohesion on the source")
            if column == 0:
                axis.set_ylabel(f"accuracy, {about.conditions[key]}")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _draw_starts(path: Path, starts: pd.DataFrame, about: About) -> None:
    first = starts["objective"].iloc[0]
    rows, panels = [], {}
    for tuning in TUNINGS:
        for title, _, _ in about.pairs:
            panel = f"{title}, {tuning}"
            panels[panel] = title.replace(" → ", "\n→ ") + f", {WORDS[tuning]}"
            cell = starts[(starts["pair"] == title) & (starts["objective"] == first)]
            for start, name in STARTS.items():
                of_start = cell[cell["start"] == start]
                for share in about.params.finetune.shares:
                    values = of_start[accuracy_of(tuning, share)].to_numpy()
                    rows.append([name, panel, share * 100, *mean_interval(values)])
    charts.lines(
        path,
        pd.DataFrame(rows, columns=["line", "measure", "share", "mean", "low", "high"]),
        panels,
        x="share",
        label=f"% of the labels ({first} on the source)",
        across=len(about.pairs),
    )
