"""Measure what the arms are compared with, TF-IDF and the untrained encoder, on every split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from textmetric.errors import needing

with needing("the pipeline", "study"):
    from scipy.sparse import csr_array

from textmetric import parallel
from textmetric.encoders import TextVectors
from textmetric.files import replacing_folder, write_csv
from textmetric.grid import TARGET, Baseline, Layout, Split, moved
from textmetric.measures import Evaluation, centroid_predict, predict_queries
from textmetric.measures.sparse import (
    centroid_predict_sparse,
    evaluate_sparse,
    knn_predict_sparse,
)
from textmetric.params import Model
from textmetric.pipeline.embed_models import embedded_parts
from textmetric.pipeline.encoder_vectors import encoder_vectors, fitting
from textmetric.pipeline.measure_arms import about_split, measure_parts, record_of
from textmetric.sampling.draws import share_of_rows
from textmetric.sampling.streams import Stream, seed_of
from textmetric.text import LabelledTokens, TokenizedCorpus
from textmetric.tfidf import Tfidf, logistic_regression
from textmetric.training.loop import first_encoder, one_thread, train_centroids
from textmetric.types import MEASURED, Float32, Int64, Integers, Measured, PathLike


@parallel.kept
def _corpus(folder: Path) -> TokenizedCorpus:
    """The split without its validation part, by which nothing about a baseline is chosen."""
    corpus = TokenizedCorpus.load(folder)
    return replace(corpus, validation=corpus.validation.take([]))


def measure_baselines(
    layout: Layout,
    *,
    splits: Sequence[Split],
    seeds: Sequence[int],
    model: Model,
    neighbours: int,
    shares: Sequence[float],
    progress: bool = True,
) -> None:
    """Measure the baselines as the arms are measured; write a record of each on every split.

    The record of the untrained encoder has the seeds of the arms. That of TF-IDF, which draws
    nothing, has the first of them alone. A table, ``transfer.csv``, has the test accuracy of TF-IDF
    with logistic regression on shares of the target's train rows, with the columns share, seed and
    test_accuracy: the rows are those that the transfer draws with the seed. The whole, which needs
    no draw, has the first seed alone.

    Args:
        layout: where everything is.
        splits: of the study.
        seeds: of the study.
        model: the encoder.
        neighbours: k of the k-nearest-neighbour accuracy.
        shares: of the target's train rows.
        progress: show a progress bar.

    Raises:
        UserError: a split is missing or damaged.
    """
    drawn = [(share, seed) for share in shares for seed in (seeds if share < 1 else seeds[:1])]
    # The longest jobs first: with many classes, logistic regression takes longest.
    tfidf = sorted(splits, key=lambda split: split.role != "source")
    jobs: list[Callable[[], Any]] = [
        *(partial(_tfidf, layout.split(split), neighbours) for split in tfidf),
        *(
            partial(_untrained, layout, split, model, seed, neighbours)
            for split in splits
            for seed in seeds
        ),
        *(partial(tfidf_accuracy, layout.split(TARGET), share, seed) for share, seed in drawn),
    ]
    reads = [path for split in splits for path in layout.read_with(split)]
    found = iter(
        parallel.run(
            _call,
            jobs,
            files=lambda _: parallel.Files(reads),
            label="baselines",
            unit="measurement",
            progress=progress,
        )
    )
    of_tfidf = {split: next(found) for split in tfidf}
    with replacing_folder(layout.baselines) as folder:
        for split in splits:
            of_untrained = [next(found) for _ in seeds]
            for baseline, its_seeds, measured in (
                (Baseline.TFIDF, seeds[:1], [of_tfidf[split]]),
                (Baseline.UNTRAINED, seeds, of_untrained),
            ):
                record = record_of(
                    split, baseline.value, its_seeds, about_split(layout, split), measured
                )
                record.write(moved(layout.baseline(baseline, split), layout.baselines, folder))
        write_csv(
            moved(layout.baseline_transfer, layout.baselines, folder),
            [{"share": share, "seed": seed, "test_accuracy": next(found)} for share, seed in drawn],
        )


def _call(job: Callable[[], Any], tick: Callable[[], None]) -> Any:
    found = job()
    tick()
    return found


def _untrained(
    layout: Layout, split: Split, model: Model, seed: int, neighbours: int
) -> dict[Measured, Evaluation]:
    vectors = encoder_vectors(layout, model, split.role)
    corpus = fitting(_corpus(layout.split(split)), vectors)
    return measure_untrained(corpus, model, seed, neighbours, vectors, layout.splits.parent)


def measure_untrained(
    corpus: TokenizedCorpus,
    model: Model,
    seed: int,
    neighbours: int,
    vectors: Float32 | TextVectors | None = None,
    folder: PathLike | None = None,
) -> dict[Measured, Evaluation]:
    """The measures of the encoder that a training starts from, on each part that has rows.

    Where vectors are given, it is these alone, without the new layer over them.

    Args:
        corpus: whose train part gives the centroids and the neighbours.
        model: the encoder.
        seed: of the training.
        neighbours: k of ``knn``.
        vectors: given ones, see :func:`.start_encoder`.
        folder: see :func:`.embedded_parts`.
    """
    encoder = first_encoder(corpus, model, seed, vectors)
    if vectors is not None:
        encoder.drop_projection()
    with one_thread():
        centroids = train_centroids(encoder, corpus.train, len(corpus.trained_labels))
    predictors = {"centroid": partial(centroid_predict, centroids)}
    arrays = embedded_parts(corpus, encoder.embed, predictors, neighbours, folder)
    return measure_parts(arrays, len(corpus.label_names), corpus.scarce)


def _tfidf(folder: Path, neighbours: int) -> dict[Measured, Evaluation]:
    return measure_tfidf(_corpus(folder), neighbours)


def measure_tfidf(corpus: TokenizedCorpus, neighbours: int) -> dict[Measured, Evaluation]:
    """The measures of TF-IDF on each part that has rows.

    ``head`` is logistic regression. Labels that were never trained on are not predicted.

    Args:
        corpus: whose train part gives the idf, the classifier and the neighbours.
        neighbours: k of ``knn``.
    """
    tfidf, train, classifier = fit_tfidf(corpus)
    labels = np.asarray(corpus.train.labels)
    found: dict[Measured, Evaluation] = {}
    for part in MEASURED:
        rows: LabelledTokens = getattr(corpus, part)
        if not len(rows):
            continue
        vectors = tfidf.vectors(rows.tokens)
        predictions = {}
        if classifier is not None:
            predictions["head"] = classifier.predict(vectors)
            predictions["knn"] = predict_queries(
                np.asarray(rows.labels), partial(_knn, train, labels, vectors, neighbours)
            )
            predictions["centroid"] = centroid_predict_sparse(train, labels, vectors)
        found[part] = evaluate_sparse(
            vectors,
            np.asarray(rows.labels),
            classes=len(corpus.label_names),
            scarce=corpus.scarce,
            predictions=predictions,
        )
    return found


def _knn(
    train: csr_array, labels: Integers, vectors: csr_array, neighbours: int, asked: slice | Int64
) -> Integers:
    return knn_predict_sparse(train, labels, vectors[asked], neighbours)


def fit_tfidf(corpus: TokenizedCorpus) -> tuple[Tfidf, csr_array, Any]:
    """TF-IDF of the train part, the vectors of that, and logistic regression on them.

    The last is None where no label of the train part is measured.
    """
    tfidf = Tfidf(corpus.train.tokens, len(corpus.vocabulary))
    vectors = tfidf.vectors(corpus.train.tokens)
    return (
        tfidf,
        vectors,
        None if corpus.unseen else logistic_regression(vectors, corpus.train.labels),
    )


def tfidf_accuracy(folder: Path, share: float, seed: int) -> float:
    """The test accuracy of TF-IDF with logistic regression on a share of the train rows.

    Nothing of the other train rows is used.

    Args:
        folder: of the target.
        share: of the train rows, see :func:`.share_of_rows`.
        seed: of the training; the rows are its stream ``TRANSFER_ROWS``, as in the transfer.
    """
    corpus = _corpus(folder)
    rows = share_of_rows(corpus.train.labels, share, seed_of(seed, Stream.TRANSFER_ROWS))
    train = corpus.train.take(rows)
    tfidf = Tfidf(train.tokens, len(corpus.vocabulary))
    classifier = logistic_regression(tfidf.vectors(train.tokens), train.labels)
    right = classifier.predict(tfidf.vectors(corpus.test.tokens)) == corpus.test.labels
    return float(right.mean())
