"""The page of :mod:`studies.hypotheses`: tables, and verdicts computed from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from studies import answers
from studies.hypotheses_jobs import CLASSES, GROUPS, OF_CLASSES, OF_PAIRS, PAIRS
from studies.hypotheses_steps_page import costs_section, counted, miners_section
from studies.seed_spread import ratio_of_spreads
from textmetric.measures import Paired, mean_interval, simultaneous_differences
from textmetric.params import Params
from textmetric.report.formats import MISSING, difference, number, plain, table, with_interval
from textmetric.types import Float64

GAP_PAIRS = ("contrastive", "triplet", "multi_similarity")


def page(
    found: pd.DataFrame,
    untrained: pd.DataFrame,
    costs: pd.DataFrame,
    sizes: Mapping[str, tuple[int, int, int]],
    params: Params,
) -> str:
    """The page in Markdown.

    Args:
        found: a row a training: question, corpus, objective, miner, partners, dropout, epochs,
            seed, the MAP@R of each part, active, error.
        untrained: the MAP@R of the untrained encoder, by corpus and seed.
        costs: seconds of each part of a step, by objective, miner, batch size and round.
        sizes: train texts, test texts and labels of each corpus, by its title.
        params: the settings.
    """
    corpora = "; ".join(
        f"{plain(title)}: {train:,} train and {test:,} test texts, {labels} labels"
        for title, (train, test, labels) in sizes.items()
    )
    seeds, few = (found[found["question"] == name]["seed"].nunique() for name in ("spread", "gap"))
    sections = [
        _spread(found),
        _gap(found, untrained),
        costs_section(costs, params),
        miners_section(found),
    ]
    said = "\n".join(answer for answer, _ in sections)
    parts = [
        f"# Four hypotheses about deep metric learning, on text\n\n{said}",
        "Surveys of deep metric learning, such as Kaya & Bilge 2019 (Symmetry 11(9)), and the "
        "papers named below state hypotheses, mostly with images. Here they are tested with text: "
        f"{corpora}. {seeds} seeds ({few} for the gap between train and test), "
        f"{params.train.epochs} epochs of balanced batches of {params.train.batch_size}, "
        f"{params.model.dim} dimensions, {params.train.optimizer} with the learning rate "
        f"{params.train.lr:g}, each objective with its default parameters: none was tuned. "
        "Intervals have 95 % and cover variation over seeds, not over corpora or test texts. "
        "`python -m studies.hypotheses` writes this page.",
        *(part for _, section in sections for part in section),
    ]
    failed = found[found["error"].notna() & (found["question"] != "miners")]
    if len(failed):
        lines = [
            f"- {plain(row['objective'])}, {plain(row['corpus'])}, seed {row['seed']}: "
            f"{plain(row['error'])}"
            for row in failed.to_dict("records")
        ]
        parts += ["Trainings that ended early, and have no value above:", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def matrix(found: pd.DataFrame, objectives: Iterable[str], measure: str = "test") -> Float64:
    """(corpora · objectives, seeds) values of trainings, one for each seed."""
    of_these = found[found["objective"].isin(list(objectives))]
    wide = of_these.pivot_table(measure, ["corpus", "objective"], "seed", dropna=False)
    values: Float64 = wide.to_numpy()
    return values


# Spread over seeds


def _spread(found: pd.DataFrame) -> tuple[str, list[str]]:
    of_spread = found[found["question"] == "spread"]
    corpora = list(dict.fromkeys(of_spread["corpus"]))
    rows = []
    for group, names in GROUPS.items():
        for name in names:
            cells = []
            for corpus in corpora:
                values = of_spread[
                    (of_spread["corpus"] == corpus) & (of_spread["objective"] == name)
                ]["test"]
                cells.append(f"{number(values.mean())} ({_small(values.std())})")
            rows.append([plain(name), group, *cells])
    ratios = []
    corrected = 1 - 0.05 / len(corpora)
    for corpus in (*corpora, None):
        cell = of_spread if corpus is None else of_spread[of_spread["corpus"] == corpus]
        level = 0.95 if corpus is None else corrected
        both = [matrix(cell, names) for names in (PAIRS, CLASSES)]
        plain_ratio = ratio_of_spreads(*both, level=level)
        on_logits = ratio_of_spreads(*(_logit(values) for values in both), level=level)
        title = "all" if corpus is None else plain(corpus)
        ratios.append([title, *map(_factor, (plain_ratio, on_logits)), _more(plain_ratio)])
    whole = ratio_of_spreads(matrix(of_spread, PAIRS), matrix(of_spread, CLASSES))
    partners, of_partners = _partners(found, corpora)
    answer = answers.comment(
        "Training on pairs is unstable, because the negatives change in every round",
        "spread of MAP@R over seeds",
        f"{OF_PAIRS} against {OF_CLASSES}: {_more(whole)} (× {_factor(whole)}); {partners}",
    )
    return answer, [
        "## Is training on pairs unstable?",
        "Movshovitz-Attias et al. 2017 (arXiv 1703.07464) and Zhai & Wu 2018 (arXiv 1811.12649) "
        "hold against pairs and triplets that a training depends on which of them are sampled; "
        "proxies and classification compare a text with every class in every step. If so, MAP@R "
        "varies more over seeds. A seed draws the batches, what is mined, and the first token "
        "vectors, which are the same for all objectives.",
        f"The spread (standard deviation over seeds) of {OF_PAIRS} is {_factor(whole)} times that "
        f"of {OF_CLASSES}: **{_more(whole)}**. Pairs and triplets {partners}.",
        "![MAP@R of each seed minus the mean, by objective](hypotheses-spread.png)",
        "MAP@R of the test texts, mean and (standard deviation):",
        table(["objective", "group", *map(plain, corpora)], rows),
        "The ratio of the spreads is that of the geometric means over the objectives of a group. "
        "Its interval is the jackknife's over seeds (Miller 1968); those of single corpora are "
        "corrected for their number. MAP@R near 0 or 1 has less room to vary, so the ratio on the "
        "scale of log(p / (1 − p)) is next to it.",
        table(["corpus", "ratio", "ratio on the logit scale", "verdict"], ratios),
        *of_partners,
    ]


def _partners(found: pd.DataFrame, corpora: Sequence[str]) -> tuple[str, list[str]]:
    """The intervention: negatives that are drawn again against fixed ones."""
    cells = found[found["question"] == "partners"]
    by_way = {way: cells[cells["partners"] == way] for way in ("redrawn", "fixed")}
    rows, ratios, counts = [], {}, {}
    for group, names in GROUPS.items():
        both = [matrix(by_way[way], names) for way in ("redrawn", "fixed")]
        ratios[group] = ratio_of_spreads(*both)
        judged = simultaneous_differences(list(zip(*both, strict=True)))
        counts[group] = counted(judged)
        mean = float(np.mean([one.mean for one in judged]))
        rows.append(
            [group, "all", _factor(ratios[group]), f"{mean:+.3f}", *map(str, counts[group])]
        )
        for corpus in corpora:
            of_corpus = [
                matrix(by_way[way][by_way[way]["corpus"] == corpus], names)
                for way in ("redrawn", "fixed")
            ]
            ratio = ratio_of_spreads(*of_corpus, level=1 - 0.05 / len(corpora))
            shift = float((of_corpus[0] - of_corpus[1]).mean())
            rows.append([group, plain(corpus), _factor(ratio), f"{shift:+.3f}", "", "", ""])
    ratio, (better, worse, none) = ratios[OF_PAIRS], counts[OF_PAIRS]
    said = (
        f"with negatives that are drawn again instead of fixed: {_more(ratio)} "
        f"(× {_factor(ratio)}), MAP@R is higher in {better} and lower in {worse} of "
        f"{better + worse + none} comparisons"
    )
    return said, [
        "### Negatives that are drawn again, or fixed",
        "If spread comes from negatives that change, it falls when they are fixed. Both ways train "
        "on the rows of the first epoch's batches, each about equally often. With fixed batches a "
        "text meets the same texts in every epoch, and only the order of the batches is drawn "
        "again; otherwise the batches are drawn again. Spread and mean are of redrawn against "
        "fixed; differences are paired by seed and corrected for the number of comparisons in a "
        "group.",
        table(
            ["group", "corpus", "ratio of spreads", "mean difference of MAP@R",
             "redrawn better", "fixed better", "no difference"],
            rows,
        ),
    ]  # fmt: skip


def _logit(values: Float64) -> Float64:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values) - np.log1p(-values))


def _factor(interval: Sequence[float]) -> str:
    centre, low, high = interval
    return MISSING if math.isnan(centre) else f"{centre:.2f} [{low:.2f}, {high:.2f}]"


def _more(interval: Sequence[float]) -> str:
    """What the interval of a ratio of spreads says."""
    centre, low, high = interval
    if math.isnan(centre):
        return "no verdict"
    if low > 1:
        return "larger spread"
    return "smaller spread" if high < 1 else "no difference"


def _small(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.4f}"


# Train against test


def chosen(found: pd.DataFrame) -> dict[tuple[str, str, int], float]:
    """The share of dropout with the best mean MAP@R on validation.

    Returns:
        By corpus, objective and epochs; of equal means the smaller share.
    """
    best: dict[tuple[str, str, int], float] = {}
    for (corpus, name, epochs), cell in found.groupby(["corpus", "objective", "epochs"]):
        wide = cell.pivot_table("validation", "seed", "dropout", dropna=False)
        means = wide.mean(skipna=False)  # a training that failed rules its share out
        usable = means.notna().any()
        best[str(corpus), str(name), int(str(epochs))] = (
            float(str(means.idxmax())) if usable else 0.0
        )
    return best


def _gap(found: pd.DataFrame, untrained: pd.DataFrame) -> tuple[str, list[str]]:
    cells = found[found["question"] == "gap"].copy()
    cells["gap"] = cells["train_alike"] - cells["test_alike"]
    corpora, all_epochs = list(dict.fromkeys(cells["corpus"])), sorted(set(cells["epochs"]))
    best = chosen(cells)
    keys, tables = [], []
    for corpus in corpora:
        for epochs in all_epochs:
            for name in (*CLASSES, *GAP_PAIRS):
                of_key = cells[
                    (cells["corpus"] == corpus)
                    & (cells["epochs"] == epochs)
                    & (cells["objective"] == name)
                ]
                keys.append((corpus, epochs, name, best[corpus, name, epochs]))
                tables.append({each: of_key.pivot_table(each, "seed", "dropout", dropna=False)
                               for each in ("gap", "test")})  # fmt: skip
    dropped = [place for place, key in enumerate(keys) if key[3] > 0]
    changes: dict[str, dict[int, Paired]] = {}
    for each in ("gap", "test"):
        pairs = [
            (tables[place][each][keys[place][3]].to_numpy(), tables[place][each][0.0].to_numpy())
            for place in dropped
        ]
        changes[each] = dict(zip(dropped, simultaneous_differences(pairs), strict=True))
    rows = []
    for place, (corpus, epochs, name, share) in enumerate(keys):
        row = [plain(corpus), str(epochs), plain(name)]
        for each in ("gap", "test"):
            row.append(with_interval(mean_interval(tables[place][each][0.0])))
        row.append(f"{share:g}")
        for each in ("gap", "test"):
            one = changes[each].get(place)
            row.append(MISSING if one is None else difference([one.mean, one.low, one.high]))
        rows.append(row)
    lines, comparisons = [], []
    for corpus in corpora:
        for epochs in all_epochs:
            of_cell = cells[
                (cells["corpus"] == corpus) & (cells["epochs"] == epochs) & (cells["dropout"] == 0)
            ]
            comparisons.append(
                [matrix(of_cell, names, "gap").mean(axis=0) for names in (CLASSES, GAP_PAIRS)]
            )
            lines.append([plain(corpus), str(epochs)])
    groups = simultaneous_differences([(first, second) for first, second in comparisons])
    larger, smaller, none = counted(groups)
    group_rows = [
        [*line, *(with_interval(mean_interval(side)) for side in sides),
         difference([one.mean, one.low, one.high])]
        for line, sides, one in zip(lines, comparisons, groups, strict=True)
    ]  # fmt: skip
    effects = {
        group: _effects(keys, changes, names)
        for group, names in ((OF_CLASSES, CLASSES), ("pairs", GAP_PAIRS))
    }
    start = "; ".join(
        f"{plain(str(corpus))} {number((cell['train_alike'] - cell['test_alike']).mean())}"
        for corpus, cell in untrained.groupby("corpus", sort=False)
    )
    said = (
        f"{OF_CLASSES} have a larger gap than pairs in {larger}, a smaller one in {smaller} of "
        f"{larger + smaller + none} comparisons"
    )
    return answers.comment(
        "Proxies overfit, and need a regulariser",
        "MAP@R of train minus test texts",
        f"{said}; {effects[OF_CLASSES]}",
    ), [
        "## Do proxies overfit?",
        "Gu, Ko & Kim 2021 (\"Proxy Synthesis\", AAAI) state that training with proxies overfits "
        "to the train classes, and add a regulariser. Here the classes of train and test are the "
        "same, and the gap is MAP@R of train texts minus that of test texts. MAP@R depends on the "
        "number of rows and on the sizes of the classes, so both sides have equally many rows of "
        "each class. Train and test texts may differ before any training: the gap of the untrained "
        f"encoder is {start}.",
        f"**{said[:1].upper()}{said[1:]}.** For {OF_CLASSES}, {effects[OF_CLASSES]}. For pairs, "
        f"{effects['pairs']}.",
        "![MAP@R of train and test texts, with and without dropout](hypotheses-gap.png)",
        f"The gap of {' and '.join(map(plain, CLASSES))} (classes) against that of "
        f"{' and '.join(map(plain, GAP_PAIRS))} (pairs), without dropout; differences are paired "
        "by seed and corrected for their number:",
        table(["corpus", "epochs", "gap, classes", "gap, pairs", "difference"], group_rows),
        "The regulariser is dropout of the embedding's values in training (Srivastava et al. "
        "2014). Its share is chosen by MAP@R of the validation texts, from "
        f"{', '.join(f'{share:g}' for share in sorted(set(cells['dropout'])))}. The last two "
        "columns are with dropout minus without, paired by seed and corrected for the number of "
        "cases where validation chose dropout.",
        table(
            ["corpus", "epochs", "objective", "gap", "MAP@R of test", "chosen dropout",
             "change of the gap", "change of MAP@R of test"],
            rows,
        ),
    ]  # fmt: skip


def _effects(
    keys: Sequence[tuple[str, int, str, float]],
    changes: Mapping[str, Mapping[int, Paired]],
    names: Sequence[str],
) -> str:
    """What dropout does to the objectives ``names``, in words."""
    places = [place for place, key in enumerate(keys) if key[2] in names]
    of_these = {
        each: [one for place, one in judged.items() if place in places]
        for each, judged in changes.items()
    }
    up, down, _ = counted(of_these["gap"])
    rises, falls, _ = counted(of_these["test"])
    return (
        f"validation chooses dropout in {len(of_these['gap'])} of {len(places)} cases; the gap "
        f"falls in {down} and rises in {up}, MAP@R of test rises in {rises} and falls in {falls}"
    )
