r"""Do four hypotheses of the literature on deep metric learning hold for text?

- Training on pairs is unstable: the spread of MAP@R over seeds, of objectives of pairs and triplets
  against classification and proxies; and with the batches of the first epoch repeated in every
  epoch, against the same rows in batches that are drawn again.
- Proxies overfit: MAP@R on train texts minus test texts, with and without dropout of the embedding,
  whose share the validation part chooses.
- Pairs need a costly preparation of data: processor time of batches, clusters, views and mining
  against the rest of a step, and memory, by batch size, on the first corpus.
- Hard triplets: MAP@R, active triplets and collapses by miner, and where the triplets of a batch
  are: easy, semi-hard or hard.

Each finished training is a small file, named by a hash of all it depends on: the job can be
interrupted, and a second run does only what is missing. Writes hypotheses.md and its pictures. A
quarter of an hour on 2 cores for four corpora of 3,000 texts with 20 seeds.

Examples:
    python -m studies.hypotheses
    python -m studies.hypotheses --corpora docstrings trec clinc150 --limit 3000
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from studies import hypotheses_page as page
from studies import hypotheses_pictures as pictures
from studies import hypotheses_steps_page as steps_page
from studies import options
from studies.hypotheses_costs import Cost, measure_all
from studies.hypotheses_jobs import CLASSES, PAIRS, PART, Training, measured, train_all
from studies.inputs import load_tokenized, store
from textmetric import command
from textmetric.command import INTERACTIVE
from textmetric.errors import UserError, printable
from textmetric.files import replacing_file
from textmetric.params import Params
from textmetric.report.original import corpus_title
from textmetric.text import TokenizedCorpus
from textmetric.training.loop import first_encoder

FEW = 8
"""The first seeds, which the trainings with dropout have."""
LONGER = 4
"""This many times the epochs, for the gap between train and test."""
SHARES = (0.0, 0.1, 0.2, 0.4)
"""Of the embedding's values that dropout drops; the validation part chooses one."""
BATCH_SIZES = (32, 64, 256, 1024)
ROUNDS = 5
FEWEST_SEEDS = 4


class Source(NamedTuple):
    """A corpus, its title and its folder."""

    title: str
    corpus: TokenizedCorpus
    folder: Path


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the page and the pictures."""
    params = options.read_params(arguments)
    if len(arguments.seeds) < FEWEST_SEEDS:
        raise UserError(
            f"--seeds has {len(arguments.seeds)} seeds: give {FEWEST_SEEDS} or more, "
            "which a spread needs"
        )
    if min(arguments.batch_sizes) < 4:
        raise UserError(f"--batch-sizes has {min(arguments.batch_sizes)}: give 4 or more")
    sources = [read_source(word, params, arguments) for word in arguments.corpora]
    if len({source.title for source in sources}) < len(sources):
        titles = ", ".join(source.title for source in sources)
        raise UserError(f"--corpora names {printable(titles)}: give each corpus once")
    params = params.model_copy(update={"train": params.train.model_copy(update={"device": "cpu"})})
    planned = [each for source in sources for each in plan(source, params, arguments.seeds)]
    folder = arguments.results / "hypotheses"
    results = train_all([training for _, training in planned], folder, INTERACTIVE)
    found = pd.DataFrame(
        [
            row
            | {name: result["map_at_r"].get(name) for name in PART}
            | {name: result[name] for name in ("active", "watched", "error")}
            for (row, _), result in zip(planned, results, strict=True)
        ]
    )
    found[[*PART]] = found[[*PART]].astype(float)
    untrained = pd.DataFrame(
        [
            {"corpus": source.title, "seed": seed}
            | measured(first_encoder(source.corpus, params.model, seed), source.corpus)
            for source in sources
            for seed in arguments.seeds[:FEW]
        ]
    )
    costs = costs_of(sources[0], params, arguments)
    out = arguments.out
    pictures.spreads(out / "hypotheses-spread.png", found)
    pictures.gaps(out / "hypotheses-gap.png", found)
    pictures.costs(out / "hypotheses-costs.png", costs)
    pictures.triplets(out / "hypotheses-triplets.png", found, sources[0].title)
    sizes = {
        source.title: (len(source.corpus.train), len(source.corpus.test),
                       len(source.corpus.label_names))
        for source in sources
    }  # fmt: skip
    with replacing_file(out / "hypotheses.md") as path:
        path.write_text(page.page(found, untrained, costs, sizes, params), encoding="utf-8")
    print(out / "hypotheses.md")


def read_source(word: str, params: Params, arguments: argparse.Namespace) -> Source:
    """Load, tokenise and store a corpus.

    Raises:
        UserError: see :func:`.load_tokenized`, or a part is empty.
    """
    corpus, summary = load_tokenized(
        options.mapping_or_name(word), params.data, progress=INTERACTIVE
    )
    for name in ("validation", "test"):
        if len(getattr(corpus, name)) < 2:
            raise UserError(
                f"{printable(word)} has no {name} texts: give it some, or set data.{name} in "
                f"{arguments.params}"
            )
    folder = store(corpus, arguments.results / "corpora")
    return Source(corpus_title(summary), corpus, folder)


def plan(
    source: Source, params: Params, seeds: Sequence[int]
) -> list[tuple[dict[str, Any], Training]]:
    """The trainings on a corpus, each with what the tables call it.

    A training that two questions need is there twice, and done once.
    """
    made: list[tuple[dict[str, Any], Training]] = []

    def add(
        question: str, objective: dict[str, Any], seed: int, scale: str = "", **given: Any
    ) -> None:
        settings = params.train
        if "epochs" in given:
            settings = settings.model_copy(update={"epochs": given.pop("epochs")})
        plain = not given.get("dropout") and "partners" not in given
        training = Training(
            source.folder, objective, params.model, settings, seed,
            watched=plain and objective["name"] == "triplet" and "normalize" not in objective,
            **given,
        )  # fmt: skip
        row = {
            "question": question,
            "corpus": source.title,
            "objective": objective["name"],
            "miner": objective.get("miner"),
            "scale": scale,
            "partners": training.partners,
            "dropout": training.dropout,
            "epochs": settings.epochs,
            "seed": seed,
        }
        made.append((row, training))

    for seed in seeds:
        for name in (*PAIRS, *CLASSES):
            add("spread", {"name": name}, seed)
            for partners in ("fixed", "redrawn"):
                add("partners", {"name": name}, seed, partners=partners)
        for miner in steps_page.MINERS:
            for scale, given in steps_page.SCALES.items():
                add("miners", {"name": "triplet", "miner": miner, **given}, seed, scale=scale)
    for seed in seeds[:FEW]:
        for name in (*page.GAP_PAIRS, *CLASSES):
            for epochs in (params.train.epochs, LONGER * params.train.epochs):
                for share in SHARES:
                    add("gap", {"name": name}, seed, epochs=epochs, dropout=share)
    return made


def costs_of(source: Source, params: Params, arguments: argparse.Namespace) -> pd.DataFrame:
    """What a step costs: a row an objective, batch size and round."""
    objectives: list[dict[str, Any]] = [{"name": name} for name in steps_page.COSTED]
    objectives += [{"name": "triplet", "miner": miner} for miner in steps_page.MINERS]
    planned = [
        Cost(
            source.folder,
            objective,
            params.model,
            params.train.model_copy(update={"batch_size": size}),
            ROUNDS,
        )
        for size in dict.fromkeys(arguments.batch_sizes)
        for objective in objectives
    ]
    found = measure_all(planned, arguments.results / "hypotheses-costs", INTERACTIVE)
    return pd.DataFrame(
        [
            {"objective": cost.objective["name"], "miner": cost.objective.get("miner")}
            | {"batch_size": cost.settings.batch_size}
            | {"round": place, "mib": math.nan if result["mib"] is None else result["mib"]}
            | {name: value[place] for name, value in result.items() if name != "mib"}
            for cost, result in zip(planned, found, strict=True)
            for place in range(ROUNDS)
        ]
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("studies.hypotheses", __doc__)
    made.add_argument(
        "--corpora", nargs="+", default=["docstrings"], metavar="SPEC",
        help="built-in names, paths, or mappings, see docs/corpora.md (docstrings)",
    )  # fmt: skip
    made.add_argument("--seeds", nargs="+", type=int, default=list(range(20)), help="(0 … 19)")
    made.add_argument("--epochs", type=int, help="(train.epochs of params.yaml)")
    made.add_argument("--limit", type=int, help="at most this many train rows (data.limit)")
    made.add_argument(
        "--batch-sizes", nargs="+", type=int, default=list(BATCH_SIZES),
        help="whose steps are measured (%(default)s)",
    )  # fmt: skip
    options.add_files(made, "where the page and the pictures go")
    return made


if __name__ == "__main__":
    command.run(main, parser(), after_interrupt=options.AFTER_INTERRUPT)
