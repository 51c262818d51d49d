"""Embed the test and validation parts of every split with every model of a family."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from textmetric import parallel
from textmetric.encoders import FrozenEncoder, TextVectors
from textmetric.files import replacing_folder, temporary_file, write_arrays
from textmetric.grid import Arm, Family, Layout, Split, Training, array_of, moved, trainings
from textmetric.measures import knn_predict, predict_queries
from textmetric.model import TrainedModel
from textmetric.pipeline.encoder_vectors import fitting
from textmetric.text import LabelledTokens, RaggedTokens, TokenizedCorpus, Tokens
from textmetric.training.loop import one_thread
from textmetric.types import MEASURED, Float32, Floats, Int64, Integers, PathLike

_corpus = parallel.kept(TokenizedCorpus.load)


def embed_models(
    layout: Layout,
    family: Family,
    *,
    splits: Sequence[Split],
    arms: Sequence[Arm],
    seeds: Sequence[int],
    neighbours: int,
    progress: bool = True,
) -> None:
    """Embed and classify the test and validation parts of every split with every model.

    A file holds of the test part ``embeddings`` (n, dim) float32, ``labels`` (n,) int32, and
    predictions (n,) int32: ``knn`` (from the train rows), ``centroid``, and ``head`` if the model
    has one. It holds the same of the validation part, ``validation_embeddings`` and so on, unless
    that part is empty. A split whose test and validation labels were never trained on has no
    predictions, since none could be right.

    Args:
        layout: where everything is.
        family: of the models.
        splits: of the study.
        arms: of the family; with none the folder stays empty.
        seeds: of the models.
        neighbours: k of ``knn``.
        progress: show a progress bar.

    Raises:
        UserError: a model or a split is missing or damaged.
    """
    out = layout.embeddings(family)
    with replacing_folder(out) as folder:
        parallel.run(
            _embed,
            [
                (
                    layout,
                    training,
                    moved(layout.embedding(training), out, folder),
                    neighbours,
                )
                for training in trainings(arms, splits, seeds)
            ],
            files=lambda job: parallel.Files(
                [*layout.read_with(job[1].split), layout.model(job[1])], [job[2]]
            ),
            label=f"embed {family.short}",
            unit="model",
            progress=progress,
        )


def _embed(job: tuple[Layout, Training, Path, int], tick: Callable[[], None]) -> None:
    layout, training, out, neighbours = job
    corpus = _corpus(layout.split(training.split))
    model = TrainedModel.load(layout.model(training))
    if isinstance(model.encoder, FrozenEncoder):
        vectors = TextVectors.load(layout.text_vectors(training.split.role))
        model.encoder.attach(vectors.values)
        corpus = fitting(corpus, vectors)
    predictors: dict[str, Callable[[Float32], Integers]] = {"centroid": model.predict_centroid}
    if model.head is not None:
        predictors["head"] = model.predict_head
    out.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(out, **embedded_parts(corpus, model.embed, predictors, neighbours, out.parent))
    tick()


def embedded_parts(
    corpus: TokenizedCorpus,
    embed: Callable[[Tokens], Float32],
    predictors: Mapping[str, Callable[[Float32], Integers]],
    neighbours: int,
    folder: PathLike | None = None,
) -> dict[str, Floats | Integers]:
    """The arrays of :func:`embed_models` of one model.

    Embeddings are written to the disk block by block and mapped, so that only what is read of them
    takes memory. The files have no name any more when this returns.

    Args:
        corpus: whose test and validation parts are embedded.
        embed: from the tokens of n texts to (n, dim).
        predictors: name of a prediction → from embeddings (n, dim) to class ids (n,).
        neighbours: k of ``knn``.
        folder: where there is room for the embeddings; None for the system's temporary folder.

    Raises:
        UserError: the disk is full, or the folder is not writable.
    """
    place = tempfile.gettempdir() if folder is None else folder
    arrays: dict[str, Floats | Integers] = {}
    with one_thread():
        train = None if corpus.unseen else _embedded(corpus.train.tokens, embed, place)
        for part in MEASURED:
            rows: LabelledTokens = getattr(corpus, part)
            if part == "validation" and not len(rows):
                continue
            embeddings = _embedded(rows.tokens, embed, place)
            found: dict[str, Floats | Integers] = {
                "embeddings": embeddings,
                "labels": np.array(rows.labels),
            }
            if train is not None:
                of_train = corpus.train.labels
                knn = partial(_knn, train, of_train, embeddings, neighbours)
                found["knn"] = predict_queries(np.asarray(rows.labels), knn)
                found |= {name: predict(embeddings) for name, predict in predictors.items()}
            arrays |= {array_of(part, name): array for name, array in found.items()}
    return arrays


def _knn(
    train: Floats, labels: Integers, embeddings: Floats, neighbours: int, asked: slice | Int64
) -> Integers:
    return knn_predict(train, labels, embeddings[asked], neighbours)


def _embedded(tokens: Tokens, embed: Callable[[Tokens], Float32], folder: PathLike) -> Float32:
    """The embeddings (n, dim) of n texts, mapped and read only."""
    width = embed(RaggedTokens.empty()).shape[1]
    if not len(tokens):
        return np.empty((0, width), np.float32)
    with temporary_file(folder) as path:
        with path.open("wb") as file:
            for block in tokens.blocks():
                file.write(embed(block).data)
        return np.asarray(np.memmap(path, np.float32, "r", shape=(len(tokens), width)))
