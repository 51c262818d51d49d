"""TF-IDF and the untrained encoder as rows of the league, each measurement a small file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from studies.names import PACKAGES, name_of
from studies.trials import Result
from textmetric import parallel
from textmetric.files import read_json, write_json
from textmetric.grid import Baseline
from textmetric.params import Model
from textmetric.pipeline.measure_baselines import fit_tfidf, measure_tfidf, measure_untrained
from textmetric.text import TokenizedCorpus

Job = tuple[Path, Baseline, int, Model, int]
"""Folder of a corpus named by a hash of its contents, baseline, seed, encoder, and the k of the
nearest-neighbour accuracy."""


def run_baselines(jobs: Sequence[Job], results: Path, *, progress: bool = True) -> list[Result]:
    """The results of the jobs, in their order; those in the folder are read, the others measured.

    Measures are named as those of a training. The seconds of TF-IDF are those of its vectors and of
    logistic regression on them; the untrained encoder has none.

    Args:
        jobs: to do.
        results: folder of the results.
        progress: whether to show a bar.
    """
    files = []
    for folder, baseline, seed, model, neighbours in jobs:
        identity = [folder.name, baseline, seed, model.model_dump(), neighbours]
        name = name_of(identity, "studies.baselines", packages=[*PACKAGES, "scikit-learn"])
        files.append(results / f"{name}.json")
    parallel.finish(_run, jobs, files, label="baselines", unit="measurement", progress=progress)
    return [
        Result(
            {key: math.nan if value is None else value for key, value in read_json(file).items()},
            [],
            None,
        )
        for file in files
    ]


def _run(job: tuple[Job, Path], tick: Callable[[], None]) -> None:
    (folder, baseline, seed, model, neighbours), file = job
    corpus = TokenizedCorpus.load(folder)
    parallel.forget_peak()
    seconds = math.nan
    if baseline is Baseline.TFIDF:
        started = time.perf_counter()
        fit_tfidf(corpus)
        seconds = time.perf_counter() - started
        found = measure_tfidf(corpus, neighbours)
    else:
        found = measure_untrained(corpus, model, seed, neighbours)
    measures = found["test"].flat | {"seconds": seconds, "peak_mib": parallel.peak_mib()}
    if "validation" in found:
        measures |= {f"validation_{key}": value for key, value in found["validation"].flat.items()}
    write_json(file, measures)
    tick()
