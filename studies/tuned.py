r"""What is left of the differences between objectives when all are tuned alike? A reality check.

After Musgrave, Belongie & Lim, "A Metric Learning Reality Check", ECCV 2020: every objective of the
registry, an ensemble and a learnt Mahalanobis distance get the same number of trials with Optuna
(learning rate, central number, miner, sampler), on each corpus. The setting with the best MAP@R on
the validation part is trained with other seeds and measured on the test part, next to the untuned
setting with the same seeds.

Each search keeps a journal, and each finished training is a small file, named by a hash of all it
depends on: the job can be interrupted, and a second run does only what is missing. Writes tuned.md,
tuned.png and tuned-gain.png. About 2 minutes for a corpus of 1,200 train rows on 2 cores.

Examples:
    python -m studies.tuned
    python -m studies.tuned --corpora docstrings trec ag_news dbpedia14.csv.gz --trials 50
    python -m studies.tuned --objectives cross_entropy triplet sup_con --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from studies import options, tuned_page
from studies.baselines import run_baselines
from studies.inputs import load_tokenized, store
from studies.tuned_candidates import Budget, Candidate, all_candidates
from studies.tuned_jobs import MEASURE, Chosen, Measurement, Search, run_searches, run_tested
from textmetric import command
from textmetric.command import INTERACTIVE
from textmetric.errors import UserError, unknown_name
from textmetric.files import replacing_file
from textmetric.grid import SAMPLERS, Baseline
from textmetric.params import Params
from textmetric.report.names import BASELINES
from textmetric.report.original import corpus_title
from textmetric.text import TokenizedCorpus


class Source(NamedTuple):
    """A corpus, what it is called, and the folder that it is stored in."""

    title: str
    corpus: TokenizedCorpus
    folder: Path


def main(arguments: argparse.Namespace) -> None:
    """Search and train what is missing, write the page and the pictures."""
    params = options.read_params(arguments)
    _check(arguments)
    candidates = chosen_candidates(arguments.objectives)
    sources = read_sources(arguments, params)
    budget = Budget(params.model, params.train)
    pairs = [(source, candidate) for source in sources for candidate in candidates]
    searches = [
        Search(
            corpus=source.folder,
            classes=len(source.corpus.label_names),
            candidate=candidate,
            sampler=arguments.sampler,
            budget=budget,
            trials=arguments.trials,
            seed=arguments.search_seed,
        )
        for source, candidate in pairs
    ]
    results = arguments.results / "tuned"
    choices = run_searches(searches, results, progress=INTERACTIVE)
    found = tested(pairs, searches, choices, arguments.seeds, results)
    beside = baselines(sources, params, arguments)
    text = tuned_page.page(
        found,
        beside,
        {
            (source.title, candidate.title): choice
            for (source, candidate), choice in zip(pairs, choices, strict=True)
        },
        tuned_page.About(
            {source.title: source.corpus for source in sources}, params, arguments.trials,
            arguments.search_seed, arguments.sampler,
        ),
    )  # fmt: skip
    with replacing_file(arguments.out / "tuned.md") as path:
        path.write_text(text, encoding="utf-8")
    names = ["tuned.md"]
    if len(sources) > 1 and len(candidates) > 1:
        tuned_page.draw_ranks(arguments.out / "tuned.png", found)
        names.append("tuned.png")
    tuned_page.draw_gains(arguments.out / "tuned-gain.png", found, beside)
    names.append("tuned-gain.png")
    print(", ".join(str(arguments.out / name) for name in names))


def _check(arguments: argparse.Namespace) -> None:
    if arguments.trials < 1:
        raise UserError(f"--trials is {arguments.trials}, expected at least 1")
    if not 0 < arguments.validation < 1:
        raise UserError(f"--validation is {arguments.validation}, expected a share between 0 and 1")
    if arguments.search_seed < 0 or arguments.search_seed in arguments.seeds:
        raise UserError(
            f"--search-seed is {arguments.search_seed}: give a whole number from 0 that is not one "
            "of --seeds, since the tests are to have seeds that chose nothing"
        )


def chosen_candidates(names: Sequence[str] | None) -> list[Candidate]:
    """The candidates that ``--objectives`` names, all for None.

    Raises:
        UserError: an unknown name.
    """
    known = {candidate.title: candidate for candidate in all_candidates()}
    for name in names or ():
        if name not in known:
            raise unknown_name("--objectives", name, list(known))
    return [known[name] for name in dict.fromkeys(names or known)]


def read_sources(arguments: argparse.Namespace, params: Params) -> list[Source]:
    """The corpora, stored.

    Raises:
        UserError: see :func:`.load_tokenized`, or two corpora have the same title.
    """
    data = params.data.model_copy(update={"validation": arguments.validation})
    made = []
    for spec in arguments.corpora:
        corpus, summary = load_tokenized(options.mapping_or_name(spec), data, progress=INTERACTIVE)
        folder = store(corpus, arguments.results / "corpora")
        made.append(Source(corpus_title(summary), corpus, folder))
    titles = [source.title for source in made]
    for title in titles:
        if titles.count(title) > 1:
            raise UserError(f"--corpora has {title} twice: give each once")
    return made


def tested(
    pairs: Sequence[tuple[Source, Candidate]],
    searches: Sequence[Search],
    choices: Sequence[Chosen],
    seeds: Sequence[int],
    folder: Path,
) -> pd.DataFrame:
    """MAP@R on test of the chosen and of the untuned setting, with the same seeds.

    Returns:
        The columns corpus, candidate, family, tuned, seed, map_at_r and error. NaN where the
        training failed, or where no trial of the search succeeded.
    """
    rows: list[dict[str, Any]] = []
    jobs: list[Measurement] = []
    of_job: list[int] = []  # the row of each
    for (source, candidate), search, choice in zip(pairs, searches, choices, strict=True):
        about = {"corpus": source.title, "candidate": candidate.title, "family": candidate.family}
        for tuned, setting in ((False, search.default), (True, choice.setting)):
            for seed in seeds:
                row = about | {"tuned": tuned, "seed": seed, MEASURE: math.nan, "error": None}
                if setting is None:
                    row["error"] = f"every trial failed, the first one: {choice.tried[0]['error']}"
                else:
                    of_job.append(len(rows))
                    jobs.append(Measurement(source.folder, candidate, setting, search.budget, seed))
                rows.append(row)
    for place, (value, error) in zip(
        of_job, run_tested(jobs, folder, progress=INTERACTIVE), strict=True
    ):
        rows[place] |= {MEASURE: value, "error": error}
    return pd.DataFrame(rows)


def baselines(
    sources: Sequence[Source], params: Params, arguments: argparse.Namespace
) -> pd.DataFrame:
    """MAP@R on test of TF-IDF, which draws nothing, and of the untrained encoder.

    Returns:
        The columns corpus, baseline, seed and map_at_r.
    """
    rows = [
        (source, baseline, seed)
        for source in sources
        for baseline in Baseline
        for seed in arguments.seeds[: 1 if baseline is Baseline.TFIDF else None]
    ]
    results = run_baselines(
        [
            (source.folder, baseline, seed, params.model, params.evaluate.neighbours)
            for source, baseline, seed in rows
        ],
        arguments.results / "baselines",
        progress=INTERACTIVE,
    )
    return pd.DataFrame(
        [
            {"corpus": source.title, "baseline": BASELINES[baseline], "seed": seed}
            | {MEASURE: result.measures[MEASURE]}
            for (source, baseline, seed), result in zip(rows, results, strict=True)
        ]
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("studies.tuned", __doc__)
    made.add_argument(
        "--corpora",
        nargs="+",
        default=["docstrings", "docstring_modules"],
        metavar="SPEC",
        help="built-in names, paths, or mappings, see docs/corpora.md (docstrings "
        "docstring_modules)",
    )
    made.add_argument(
        "--objectives",
        nargs="+",
        metavar="NAME",
        help="of the objectives, 'TextEnsemble', 'Mahalanobis on cross_entropy' (all there are)",
    )
    made.add_argument("--trials", type=int, default=25, help="of each search (%(default)s)")
    made.add_argument("--search-seed", type=int, default=100, help="of the searches (%(default)s)")
    made.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="of the tests (0 1 2 3 4)"
    )
    made.add_argument("--epochs", type=int, help="(train.epochs of params.yaml)")
    made.add_argument(
        "--limit", type=int, default=1200, help="at most this many train rows (%(default)s)"
    )
    made.add_argument(
        "--validation",
        type=float,
        default=0.3,
        help="share of train cut off where a corpus has no validation part (%(default)s)",
    )
    made.add_argument(
        "--sampler", choices=SAMPLERS, default="balanced", help="of untuned settings (%(default)s)"
    )
    options.add_files(made, "where the page and the pictures go")
    return made


if __name__ == "__main__":
    command.run(main, parser(), after_interrupt=options.AFTER_INTERRUPT)
