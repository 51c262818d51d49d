r"""What do embeddings keep that the labels do not say?

Trains on coarse labels and retrieves finer ones inside of each: does a text find those of its finer
label among the texts of its coarse label? Some objectives ignore how a class varies (triplet,
proxies), others are made to keep it (magnet, ranked list, dvml). All are trained with equal
budgets, on each corpus; next to them are TF-IDF, the untrained encoder, and cross-entropy on the
fine labels themselves, which says how much there is to keep.

A corpus is a table with two columns of labels, or two corpora with the same texts. Each finished
training is a small file, named by a hash of all it depends on: the job can be interrupted, and a
second run does only what is missing. Writes fine-labels.md and fine-labels.png.

Examples:
    python -m studies.fine_labels
    python -m studies.fine_labels --corpora '{path: trec, coarse: label, fine: fine_label}' \
        '{path: dbpedia.csv.gz, coarse: l1, fine: l3, min_rows: 10}' --seeds 0 1 2 3 4
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from studies import answers, charts, inside, options
from studies.inputs import read_corpus, store
from studies.trials import Trial, run_trials
from textmetric import command
from textmetric.command import INTERACTIVE
from textmetric.errors import UserError, printable
from textmetric.files import replacing_file, write_array
from textmetric.grid import Baseline, Family
from textmetric.losses import OBJECTIVES, class_of
from textmetric.measures import Outcome, mean_interval, simultaneous_differences
from textmetric.params import Data, Params
from textmetric.pipeline.measure_baselines import fit_tfidf
from textmetric.report.formats import difference, number, plain, table, with_interval
from textmetric.report.names import BASELINES, FAMILIES
from textmetric.report.original import corpus_title
from textmetric.text import TokenizedCorpus, tokenize_corpus
from textmetric.training.loop import first_encoder, one_thread
from textmetric.types import Int32

DEFAULT = "{coarse: docstrings, fine: docstring_modules}"
KEEPERS = ("magnet", "ranked_list", "dvml")
"""Objectives that are made to keep how a class varies."""
OTHERS = ("triplet", "proxy_nca")
WITH_FINE = "cross_entropy on the fine labels"
COLUMNS = {
    inside.MAP_AT_R: "MAP@R inside",
    inside.RECALL: "Recall@1 inside",
    "map_at_r": "MAP@R of the coarse labels",
}


class Source(NamedTuple):
    """A corpus with two sets of labels.

    Attributes:
        title: what it is called.
        coarse: the corpus with its coarse labels.
        by_fine: the same rows with the fine ones.
        fine: (n,) the fine label of each test row.
    """

    title: str
    coarse: TokenizedCorpus
    by_fine: TokenizedCorpus
    fine: Int32


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the page and the picture."""
    params = options.read_params(arguments)
    chosen = options.chosen_objectives(arguments.objectives)
    sources = [
        read_source(options.mapping_or_name(spec), params.data) for spec in arguments.corpora
    ]
    rows, trials = [], []
    for source in sources:
        folders = arguments.results / "corpora"
        coarse, by_fine = store(source.coarse, folders), store(source.by_fine, folders)
        both = np.stack([source.coarse.test.labels, source.fine])
        fine = _store_labels(both, coarse.name, folders)
        lines = [(options.title(each), coarse, family, each) for family, each in chosen]
        lines.append((WITH_FINE, by_fine, Family.CLASSIFICATION, {"name": "cross_entropy"}))
        for name, corpus, family, objective in lines:
            for seed in arguments.seeds:
                rows.append({"corpus": source.title, "objective": name, "family": family}
                            | {"seed": seed})  # fmt: skip
                trials.append(
                    Trial(
                        corpus=corpus,
                        family=family,
                        objective=objective,
                        sampler=arguments.sampler,
                        model=params.model,
                        settings=params.train,
                        seed=seed,
                        fine=fine,
                    )
                )
    results = run_trials(
        trials, arguments.results / "fine", label="fine labels", progress=INTERACTIVE
    )
    failures = {
        f"{row['objective']}, {row['corpus']}": result.error
        for row, result in zip(rows, results, strict=True)
        if result.error
    }
    found = pd.DataFrame(
        [
            row | {name: result.measures.get(name, math.nan) for name in COLUMNS}
            for row, result in zip(rows, results, strict=True)
        ]
        + [each for source in sources for each in baselines(source, params, arguments.seeds)]
    )
    with replacing_file(arguments.out / "fine-labels.md") as path:
        path.write_text(page(found, sources, failures, params), encoding="utf-8")
    charts.ranking(
        arguments.out / "fine-labels.png",
        ranked(found).rename(columns={"corpus": "measure"}),
        {source.title: re.sub(", | (?=→)", "\n", source.title, count=1) for source in sources},
    )
    print(f"{arguments.out / 'fine-labels.md'}, {arguments.out / 'fine-labels.png'}")


def _store_labels(labels: Int32, corpus: str, folder: Path) -> Path:
    digest = hashlib.sha256(corpus.encode() + labels.tobytes()).hexdigest()[:24]
    path = folder / f"{digest}.npy"
    if not path.is_file():
        write_array(path, labels)
    return path


def read_source(spec: str | dict[str, Any], data: Data) -> Source:
    """Read a corpus with both of its labels; its parts are cut by the fine ones.

    Raises:
        UserError: a key is missing, or a fine label has texts of two coarse ones; see
            :func:`.read_corpus`.
    """
    if not isinstance(spec, dict) or not {"coarse", "fine"} <= set(spec):
        raise UserError(
            f"--corpora {printable(str(spec))} lacks a key coarse or fine: name the columns of a "
            "table, '{path: trec, coarse: label, fine: fine_label}', or two corpora"
        )
    both: dict[str, Any] = {}
    for key in ("coarse", "fine"):
        rest = {name: value for name, value in spec.items() if name not in ("coarse", "fine")}
        both[key] = rest | {"label": spec[key]} if "path" in spec else spec[key]
    fine = read_corpus(both["fine"], data, INTERACTIVE)
    # all of its rows: another limit or cut would lack texts
    whole = data.model_copy(update={"limit": None})
    coarse = read_corpus(both["coarse"], whole, INTERACTIVE).frame
    of_text = coarse.drop_duplicates("text").set_index("text")["label"]
    frame = fine.frame.assign(fine=fine.frame["label"], label=fine.frame["text"].map(of_text))
    frame = frame[frame["label"].notna() & frame["fine"].notna()]
    labels = frame.groupby("fine")["label"].nunique()
    if (labels > 1).any():
        raise UserError(
            f"the fine label {printable(str(labels.idxmax()))} has texts of {labels.max()} coarse "
            "labels: "
            "give fine labels that each belong to one coarse label"
        )
    tokenized = partial(
        tokenize_corpus, min_freq=data.min_freq, max_size=data.max_size, progress=INTERACTIVE
    )
    by_fine = tokenized(frame.assign(label=frame["fine"]))
    between = f"{spec['coarse']} → {spec['fine']}"
    return Source(
        f"{corpus_title(fine.summary)}, {between}" if "path" in spec else between,
        tokenized(frame),
        by_fine,
        np.asarray(by_fine.test.labels, np.int32),
    )


def baselines(source: Source, params: Params, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of TF-IDF, which draws nothing, and of the untrained encoder."""
    coarse, made = source.coarse, []
    tfidf, _, _ = fit_tfidf(coarse)
    vectors = tfidf.vectors(coarse.test.tokens)
    used = np.unique(vectors.indices)  # dense rows of the test part's own tokens fit into memory
    dense = vectors[:, used].toarray().astype(np.float32)
    about: dict[str, Any] = {"corpus": source.title}
    made.append(
        about
        | {"objective": BASELINES[Baseline.TFIDF], "family": Baseline.TFIDF, "seed": seeds[0]}
        | inside.measured(dense, coarse.test.labels, source.fine)
    )
    for seed in seeds:
        with one_thread():
            rows = first_encoder(coarse, params.model, seed).embed(coarse.test.tokens)
        made.append(
            about
            | {"objective": BASELINES[Baseline.UNTRAINED], "family": Baseline.UNTRAINED}
            | {"seed": seed}
            | inside.measured(rows, coarse.test.labels, source.fine)
        )
    return made


def ranked(found: pd.DataFrame, measure: str = inside.MAP_AT_R) -> pd.DataFrame:
    """Means and intervals over the seeds; the objective with the best mean rank is first.

    Returns:
        The columns corpus, objective, family, mean, low, high.
    """
    rows = [
        [corpus, objective, cell["family"].iloc[0], *mean_interval(cell[measure].to_numpy())]
        for (corpus, objective), cell in found.groupby(["corpus", "objective"], sort=False)
    ]
    made = pd.DataFrame(rows, columns=["corpus", "objective", "family", "mean", "low", "high"])
    ranks = made.groupby("corpus")["mean"].rank(ascending=False)
    order = ranks.groupby(made["objective"]).mean().sort_values(kind="stable").index
    place = {name: number_ for number_, name in enumerate(order)}
    return made.sort_values("objective", key=lambda names: names.map(place), kind="stable")


def page(
    found: pd.DataFrame,
    sources: Sequence[Source],
    failures: Mapping[str, str | None],
    params: Params,
) -> str:
    """The page in Markdown."""
    corpora = "; ".join(
        f"{plain(source.title)}: {len(source.coarse.label_names)} coarse and "
        f"{len(source.by_fine.label_names)} fine labels, {len(source.coarse.train):,} train and "
        f"{len(source.coarse.test):,} test texts"
        for source in sources
    )
    seeds = found["seed"].nunique()
    parts = [
        "# What do embeddings keep that the labels do not say?",
        _comments(found),
        "Each objective is trained on coarse labels, and then a text looks for those of its fine "
        "label among the texts of its coarse label. A model that draws all texts of a class to one "
        "point is perfect by its labels, and finds nothing inside. "
        f"{corpora}. {seeds} seeds, {params.train.epochs} epochs, {params.model.dim} dimensions, "
        f"each objective with its default parameters.{_without_labels(found)} "
        "`python -m studies.fine_labels` writes this page.",
        _answer(found),
        "![MAP@R of the fine labels inside of the coarse ones, by objective](fine-labels.png)",
    ]
    for source in sources:
        parts += [f"## {plain(source.title)}", *_of_corpus(found, source.title)]
    parts += ["## Objectives that keep how a class varies", *_keepers(found)]
    if failures:
        lines = [f"- {plain(name)}: {plain(str(said))}" for name, said in failures.items()]
        parts += ["Trainings that ended early:", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _comments(found: pd.DataFrame) -> str:
    """What the table of all studies shows."""
    above, of = 0, 0
    for _, means, tfidf, _ in _means(found):
        above, of = above + int((means > tfidf).sum()), of + len(means)
    lines = [
        answers.comment(
            "Do embeddings keep what the labels do not say?",
            "MAP@R of finer labels inside of those that were trained on",
            f"{above} of {of} means are above TF-IDF's",
        )
    ]
    judged, _ = _compared(found)
    if judged:
        more, less = (judged.count(outcome) for outcome in (Outcome.FIRST, Outcome.SECOND))
        lines.append(
            answers.comment(
                f"Do {', '.join(map(plain, KEEPERS))} keep more of it than "
                f"{' and '.join(map(plain, OTHERS))}?",
                "the same",
                f"more in {more} of {len(judged)} comparisons, less in {less}",
            )
        )
    return "\n".join(lines)


def _means(found: pd.DataFrame) -> Iterator[tuple[str, pd.Series[float], float, float]]:
    """Of each corpus: the means of the objectives, of TF-IDF, and of training on fine labels."""
    trained = found[found["family"].isin(list(Family)) & (found["objective"] != WITH_FINE)]
    for corpus, cell in trained.groupby("corpus", sort=False):
        of_corpus = found[found["corpus"] == corpus].groupby("objective")[inside.MAP_AT_R].mean()
        yield (
            str(corpus),
            cell.groupby("objective")[inside.MAP_AT_R].mean(),
            float(of_corpus[BASELINES[Baseline.TFIDF]]),
            float(of_corpus[WITH_FINE]),
        )


def _without_labels(found: pd.DataFrame) -> str:
    """Which objectives look at no label, in a sentence."""
    known = dict.fromkeys(found.loc[found["family"] == Family.METRIC, "objective"])
    names = [name for name in known if name in OBJECTIVES[Family.METRIC]]
    free = [plain(name) for name in names if not class_of(name).NEEDS_LABELS]
    return f" No label is looked at by {' and '.join(free)}." if free else ""


def _answer(found: pd.DataFrame) -> str:
    """Whether training on coarse labels keeps more than TF-IDF and the untrained encoder have."""
    said = []
    for corpus, means, tfidf, upper in _means(found):
        above = int((means > tfidf).sum())
        said.append(
            f"{plain(corpus)}: the best is {plain(str(means.idxmax()))} with "
            f"{number(float(means.max()))}; {above} of {len(means)} means are above TF-IDF's "
            f"{number(tfidf)}; training on the fine labels gives {number(upper)}"
        )
    return "MAP@R inside of the coarse labels. " + ". ".join(said) + "."


def _of_corpus(found: pd.DataFrame, corpus: str) -> list[str]:
    of_corpus = found[found["corpus"] == corpus]
    order = ranked(of_corpus).sort_values("mean", ascending=False, na_position="last")
    rows = []
    for name, family in zip(order["objective"], order["family"], strict=True):
        cell = of_corpus[of_corpus["objective"] == name]
        kind = FAMILIES.get(family, "baseline")
        values = [with_interval(mean_interval(cell[each].to_numpy())) for each in COLUMNS]
        rows.append([plain(name), kind, *values])
    trained = of_corpus["family"].isin(list(Family)) & (of_corpus["objective"] != WITH_FINE)
    means = of_corpus[trained].groupby("objective")[[inside.MAP_AT_R, "map_at_r"]].mean().dropna()
    rank = float(spearmanr(means[inside.MAP_AT_R], means["map_at_r"]).statistic)
    return [
        table(["trained by", "family", *COLUMNS.values()], rows),
        f"Over the {len(means)} objectives, the rank correlation of MAP@R of the coarse labels and "
        f"MAP@R inside is {rank:+.2f}.",
    ]


def _compared(found: pd.DataFrame) -> tuple[list[Outcome], list[list[str]]]:
    """Each of :data:`KEEPERS` against each of :data:`OTHERS`, on each corpus, and their rows."""
    pairs, names = [], []
    for corpus, cell in found.groupby("corpus", sort=False):
        by_seed = {
            name: rows.sort_values("seed")[inside.MAP_AT_R].to_numpy()
            for name, rows in cell.groupby("objective")
        }
        for first in KEEPERS:
            for second in OTHERS:
                if first in by_seed and second in by_seed:
                    pairs.append((by_seed[first], by_seed[second]))
                    names.append([plain(str(corpus)), f"{plain(first)} − {plain(second)}"])
    judged = simultaneous_differences(pairs)
    outcomes = [one.outcome(large_is_good=True) for one in judged]
    said = {Outcome.FIRST: "keeps more", Outcome.SECOND: "keeps less"}
    rows = [
        [*name, difference([one.mean, one.low, one.high]), said.get(outcome, "no difference")]
        for name, one, outcome in zip(names, judged, outcomes, strict=True)
    ]
    return outcomes, rows


def _keepers(found: pd.DataFrame) -> list[str]:
    """The section on objectives that keep how a class varies."""
    outcomes, rows = _compared(found)
    if not outcomes:
        names = [" and ".join(map(plain, each)) for each in (KEEPERS, OTHERS)]
        return [f"{names[0]} were not compared with {names[1]}."]
    return [
        f"{', '.join(map(plain, KEEPERS))} are made to keep how a class varies. Of {len(outcomes)} "
        f"comparisons with {' and '.join(map(plain, OTHERS))}, paired by seed and corrected for "
        f"their number, they keep more in {outcomes.count(Outcome.FIRST)} and less in "
        f"{outcomes.count(Outcome.SECOND)}.",
        table(["corpus", "MAP@R inside", "difference", "verdict"], rows),
    ]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = options.parser(
        "studies.fine_labels", __doc__, objectives="all there are", out="docs", corpus=False
    )
    made.add_argument(
        "--corpora", nargs="+", default=[DEFAULT], metavar="SPEC",
        help="tables with the keys coarse and fine, or pairs of corpora (%(default)s)",
    )  # fmt: skip
    return made


if __name__ == "__main__":
    command.run(main, parser(), after_interrupt=options.AFTER_INTERRUPT)
