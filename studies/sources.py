r"""Which source models transfer best, and does their cohesion matter?

The original study asked and left open: is classifying clusters of embeddings more helpful for
fine-tuning, and how does high cohesion affect fine-tuning? Each pair of corpora, a source and a
target without shared texts, gets

- a bank: every objective, with three learning rates and several seeds, trained on the source,
  measured there in ten ways, and transferred to the target, frozen and fine-tuned, with 1, 10 and
  100 % of its labels: which measure of the source ranks the transfers?
- a dial: a weight on pulling the texts of a class together moves cohesion while MAP@R stays. The
  objective and the weights are chosen on the source's validation part, without the target;
- starts: the target is learnt from a source that was trained on its classes, on clusters of its
  embeddings or on shuffled labels, from its vectors dealt to other tokens, and from random ones.

Each finished training is a small file, named by a hash of all it depends on: the job can be
interrupted, and a second run does only what is missing. Writes sources.md and three pictures.
Four pairs with 2,500 texts and 10 seeds take about 20 minutes on 2 cores.

Examples:
    python -m studies.sources --limit 2000
    python -m studies.sources --limit 2500 --seeds 0 1 2 3 4 5 6 7 8 9 \
        --pairs '{source: docstring_modules, target: docstrings}' \
        '{source: {path: dbpedia.csv.gz, label: l3, min_rows: 10}, target: ag_news}'
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from studies import options, sources_page
from studies.inputs import store
from studies.pulled import Pull
from studies.sources_jobs import Source, relabelled, run_sources
from textmetric import command
from textmetric.command import INTERACTIVE
from textmetric.corpora import load_roles
from textmetric.errors import UserError, printable
from textmetric.files import replacing_file
from textmetric.grid import Family
from textmetric.params import Params
from textmetric.report.original import corpus_title
from textmetric.text import TokenizedCorpus, tokenize_corpus
from textmetric.types import Float64

DEFAULT = "{source: docstring_modules, target: docstrings}"
RATES = (0.03, 0.1, 0.3)
DIALLED: tuple[options.Chosen, ...] = (
    (Family.CLASSIFICATION, {"name": "cross_entropy"}),
    (Family.CLASSIFICATION, {"name": "norm_softmax"}),
    (Family.METRIC, {"name": "sup_con"}),
)
WEIGHTS = (-0.3, -0.1, 0.0, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
PULLS: tuple[Pull, ...] = ("class", "all")
CHOOSING = (1001, 1002, 1003)
"""Seeds of the trainings that the dial is chosen by; those of the transfers are others."""
SAME = 0.005
"""The largest difference in MAP@R that counts as none, on validation."""
VALIDATION = 0.25
"""Share of the rows of a source without a validation part; the dial is chosen on it."""
POINTS = 5
"""The largest number of weights of a dial that are transferred, both ends among them."""
STARTED: tuple[options.Chosen, ...] = (
    (Family.CLASSIFICATION, {"name": "cross_entropy"}),
    (Family.METRIC, {"name": "triplet"}),
)


Job = tuple[dict[str, Any], Source]
"""The row of a job in its table, and the job."""


class Pair(NamedTuple):
    """A source and a target without shared texts.

    Attributes:
        title: of both.
        corpora: the source and the target.
        source: a job on them, of which the jobs of the study are changes.
        clusters: folder of the source with clusters as labels, see :func:`.relabelled`.
        shuffled: folder of the source with its labels dealt at random.
    """

    title: str
    corpora: tuple[TokenizedCorpus, TokenizedCorpus]
    source: Source
    clusters: Path
    shuffled: Path


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the page and the pictures."""
    params = options.read_params(arguments)
    if set(arguments.seeds) & set(CHOOSING):
        raise UserError(f"--seeds has one of {CHOOSING}, which choose the dial: give others")
    rates = arguments.rates
    if arguments.bank_seeds < 1:
        raise UserError(f"--bank-seeds is {arguments.bank_seeds}, expected at least 1")
    if min(rates) <= 0 or len(set(rates)) < len(rates):
        raise UserError(f"--rates is {rates}, expected different rates above 0")
    chosen = options.chosen_objectives(arguments.objectives)
    pairs = [
        read_pair(options.mapping_or_name(spec), params, arguments) for spec in arguments.pairs
    ]

    def run(jobs: Iterator[Job], label: str) -> pd.DataFrame:
        rows, sources = zip(*jobs, strict=True)
        results = run_sources(
            sources, arguments.results / "sources", label=label, progress=INTERACTIVE
        )
        return pd.DataFrame([row | found for row, found in zip(rows, results, strict=True)])

    seeds = arguments.seeds
    of_bank = seeds[: arguments.bank_seeds]
    tried = run((job for pair in pairs for job in _tried(pair)), "choose the dial")
    dials = {pair.title: choose_dial(tried[tried["pair"] == pair.title]) for pair in pairs}
    dialled = run(
        (job for pair in pairs for job in _dialled(pair, dials[pair.title], seeds)), "dial"
    )
    starts = run((job for pair in pairs for job in _starts(pair, seeds)), "starts")
    bank = run((job for pair in pairs for job in _bank(pair, chosen, rates, of_bank)), "bank")
    found = sources_page.Found(bank, dialled, starts)
    about = sources_page.About(
        pairs=[(pair.title, *pair.corpora) for pair in pairs],
        params=params,
        tanh=arguments.tanh,
        seeds=seeds,
        of_bank=of_bank,
        rates=rates,
        settings=len(chosen),
    )
    out: Path = arguments.out
    with replacing_file(out / "sources.md") as path:
        path.write_text(sources_page.page(found, about), encoding="utf-8")
    drawn = sources_page.draw(found, about, out)
    print(", ".join(map(str, [out / "sources.md", *drawn])))


def read_pair(spec: str | dict[str, Any], params: Params, arguments: argparse.Namespace) -> Pair:
    """Read and store the corpora of a pair.

    Args:
        spec: the keys ``source`` and ``target``, each as in params.yaml.
        params: how rows and tokens are chosen, and how models are trained.
        arguments: the folder of the results, and the sampler.

    Raises:
        UserError: a key is missing or unknown; see :func:`.load_roles`.
    """
    if not isinstance(spec, dict) or set(spec) != {"source", "target"}:
        raise UserError(
            f"--pairs {printable(str(spec))} is no pair: write it as '{DEFAULT}', with the keys "
            "source and target"
        )
    data = params.data
    loaded = load_roles(
        spec["target"],
        spec["source"],
        limit=data.limit,
        validation=VALIDATION,
        test=data.test,
        seed=data.seed,
        mirror=data.mirror,
        progress=INTERACTIVE,
    )
    target, source = (
        tokenize_corpus(
            corpus.frame, min_freq=data.min_freq, max_size=data.max_size, progress=INTERACTIVE
        )
        for corpus in loaded
    )
    names = [corpus_title(corpus.summary) for corpus in loaded]
    for part in ("validation", "test"):
        if np.bincount(getattr(source, part).labels).max(initial=0) < 2:
            raise UserError(
                f"the {part} part of {printable(names[1])} has no class with two texts, so its "
                "cohesion cannot be measured: raise --limit"
            )
    folder = arguments.results / "corpora"
    family, objective = STARTED[0]
    clusters, shuffled = (
        store(relabelled(source, kind, params.model.dim, data.seed), folder)
        for kind in ("clusters", "shuffled")
    )
    return Pair(
        f"{names[1]} → {names[0]}",
        (source, target),
        Source(
            corpus=store(source, folder),
            target=store(target, folder),
            family=family,
            objective=objective,
            sampler=arguments.sampler,
            model=params.model,
            settings=params.train,
            transfer=params.finetune.model_copy(update={"tanh": [arguments.tanh]}),
            seed=0,
            neighbours=params.evaluate.neighbours,
        ),
        clusters,
        shuffled,
    )


class Dial(NamedTuple):
    """Weights between two that differ in cohesion and not in MAP@R.

    Attributes:
        place: of the objective in ``DIALLED``.
        pull: which pairs are pulled.
        weights: rising; two at least.
        moves: by how much cohesion on validation differs between the ends.
    """

    place: int
    pull: Pull
    weights: list[float]
    moves: float


def _job(
    pair: Pair,
    source: Source,
    chosen: options.Chosen,
    seed: int,
    about: dict[str, Any],
    **more: Any,
) -> Job:
    """A job of a pair with another objective, seed and what else is given, and its row."""
    family, objective = chosen
    row = {"pair": pair.title, "objective": options.title(objective), "seed": seed}
    return row | about, replace(source, family=family, objective=objective, seed=seed, **more)


def _bank(
    pair: Pair, chosen: Sequence[options.Chosen], rates: Sequence[float], seeds: Sequence[int]
) -> Iterator[Job]:
    for each in chosen:
        for rate in rates:
            settings = pair.source.settings.model_copy(update={"lr": rate})
            about = {"family": each[0], "lr": rate}
            for seed in seeds:
                yield _job(pair, pair.source, each, seed, about, settings=settings)


def _tried(pair: Pair) -> Iterator[Job]:
    for place, each in enumerate(DIALLED):
        for pull in PULLS:
            for weight in WEIGHTS:
                about = {"place": place, "pull": pull, "weight": weight}
                more = {"target": None, "pull": pull, "weight": weight}
                for seed in CHOOSING:
                    yield _job(pair, pair.source, each, seed, about, **more)


def _dialled(pair: Pair, dials: Sequence[Dial], seeds: Sequence[int]) -> Iterator[Job]:
    for dial in dials:
        for step, weight in enumerate(dial.weights):
            more = {"pull": dial.pull, "weight": weight}
            about = more | {"step": step, "last": step == len(dial.weights) - 1}
            for seed in seeds:
                yield _job(pair, pair.source, DIALLED[dial.place], seed, about, **more)


def _starts(pair: Pair, seeds: Sequence[int]) -> Iterator[Job]:
    starts = {
        "classes": pair.source,
        "clusters": replace(pair.source, corpus=pair.clusters),
        "shuffled": replace(pair.source, corpus=pair.shuffled),
        "dealt": replace(pair.source, scrambled=True),
        "random": replace(pair.source, corpus=None),
    }
    for each in STARTED:
        for start, source in starts.items():
            for seed in seeds:
                yield _job(pair, source, each, seed, {"start": start})


def choose_dial(tried: pd.DataFrame) -> list[Dial]:
    """For each pull the objective and the ends that differ most in cohesion, on validation.

    Args:
        tried: the columns place, pull, weight, validation_cohesion, validation_map_at_r, of all
            seeds.

    Returns:
        At most one for each pull.
    """
    found = []
    for pull in PULLS:
        dials = []
        for place in range(len(DIALLED)):
            cell = tried[(tried["pull"] == pull) & (tried["place"] == place)]
            columns = ["validation_cohesion", "validation_map_at_r"]
            by_weight = cell.groupby("weight")[columns].mean()  # NaN: all trainings failed
            first, last = widest(*(by_weight[column].to_numpy() for column in columns))
            places = np.unique(np.linspace(first, last, POINTS).round().astype(int))
            weights = by_weight.index[places].tolist()
            moves = by_weight["validation_cohesion"].iloc[[first, last]].diff().iloc[1]
            if len(weights) > 1:
                dials.append(Dial(place, pull, weights, float(moves)))
        found += sorted(dials, key=lambda dial: -dial.moves)[:1]
    return found


def widest(cohesion: Float64, map_at_r: Float64) -> tuple[int, int]:
    """The two weights that differ most in cohesion, and hardly in MAP@R.

    Args:
        cohesion: (n,) by weight.
        map_at_r: (n,) by weight; NaN where all trainings failed.

    Returns:
        The places of both, the smaller first; equal if there are none.
    """
    best, most = (0, 0), 0.0
    for first, last in combinations(range(len(cohesion)), 2):
        moves = cohesion[last] - cohesion[first]
        if abs(map_at_r[last] - map_at_r[first]) <= SAME and moves > most:
            best, most = (first, last), moves
    return best


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = options.parser(
        "studies.sources", __doc__, objectives="all there are", out="docs", corpus=False
    )
    made.add_argument(
        "--pairs", nargs="+", default=[DEFAULT], metavar="SPEC",
        help="mappings with the keys source and target (%(default)s)",
    )  # fmt: skip
    made.add_argument(
        "--rates", nargs="+", type=float, default=list(RATES),
        help=f"learning rates of the bank ({' '.join(map(str, RATES))})",
    )  # fmt: skip
    made.add_argument(
        "--bank-seeds", type=int, default=5, metavar="N",
        help="how many of the seeds the bank has, the first ones (%(default)s)",
    )  # fmt: skip
    made.add_argument(
        "--tanh", action="store_true", help="let the target's head end in tanh, as the original's"
    )
    return made


if __name__ == "__main__":
    command.run(main, parser(), after_interrupt=options.AFTER_INTERRUPT)
