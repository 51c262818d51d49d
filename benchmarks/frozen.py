"""Training a projection of given text vectors: an epoch, and both arms of a study.

Against the loop that a user would write: ``nn.Linear`` over the rows of an array, autograd and
``torch.optim``. The vectors are drawn around the centres of their classes: what they hold costs
nothing and saves nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.rounds import Case, Options
from benchmarks.training import BATCH, CELLS, DIM, SPLIT, same_loss
from textmetric.encoders import TextVectors, build_encoder
from textmetric.files import write_array, write_json
from textmetric.grid import Arm, Family, Layout, Sampler, Training
from textmetric.losses import build
from textmetric.model import TrainedModel
from textmetric.params import Model, Train
from textmetric.pipeline.train_arms import train_arms
from textmetric.sampling.batches import BatchSampler
from textmetric.text import UNKNOWN, LabelledTokens, RaggedTokens, TokenizedCorpus, Vocabulary
from textmetric.training.loop import Epoch, fit
from textmetric.types import Float32, Int32

ROWS, QUICK_ROWS = 100_000, 2_000
WIDTH, CLASSES = 384, 20
MODEL = Model(encoder="frozen", layer="linear", dim=DIM)


def cases(options: Options) -> Iterator[Case]:
    """An epoch of each arm, then both arms with all seeds."""
    rows = QUICK_ROWS if options.quick else ROWS
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, rows + rows // 10).astype(np.int32)  # the last are for test
    values = rng.normal(size=(len(labels), WIDTH)).astype(np.float32)
    values += 0.2 * rng.normal(size=(CLASSES, WIDTH)).astype(np.float32)[labels]
    for family, name, sampler in CELLS:
        yield Case(
            "frozen",
            f"an epoch of {name}, {rows:,} vectors of width {WIDTH}",
            partial(ours, values[:rows], labels[:rows], family, name, sampler),
            "nn.Linear and torch.optim's adagrad",
            partial(theirs, values[:rows], labels[:rows], family, name, sampler),
            check=same_loss,
        )
    with tempfile.TemporaryDirectory() as folder:
        yield both_arms(values, labels, rows, Layout(folder), options.quick)


def ours(values: Float32, labels: Int32, family: Family, name: str, sampler: Sampler) -> float:
    """The mean loss of an epoch."""
    torch.manual_seed(0)
    encoder = build_encoder(MODEL, 1, TextVectors(values))
    objective = build(family, {"name": name}, dim=DIM, classes=CLASSES)
    texts = RaggedTokens.one_each(np.arange(len(labels), dtype=np.int32))
    found: list[Epoch] = []
    fit(
        encoder, objective, LabelledTokens(texts, labels), Train(epochs=1, decay="constant"),
        sampler=sampler, seed=0, on_epoch=found.append,
    )  # fmt: skip
    return found[0].loss


def theirs(values: Float32, labels: Int32, family: Family, name: str, sampler: Sampler) -> float:
    """The same by torch alone."""
    torch.manual_seed(0)
    projection = nn.Linear(WIDTH, DIM)
    objective = build(family, {"name": name}, dim=DIM, classes=CLASSES)
    updates = torch.optim.Adagrad(
        [*projection.parameters(), *objective.parameters()], lr=Train().lr
    )
    inputs, classes = torch.from_numpy(values), torch.from_numpy(labels.astype(np.int64))
    objective.train()
    losses = []
    for rows in BatchSampler(sampler, labels, BATCH, seed=0).epoch():
        chosen = torch.from_numpy(rows)
        updates.zero_grad()
        loss = objective(projection(inputs[chosen]), classes[chosen])
        loss.backward()
        updates.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


def both_arms(values: Float32, labels: Int32, rows: int, layout: Layout, quick: bool) -> Case:
    """From vectors on disk, of which the first ``rows`` are trained on, to all models on disk."""
    seeds, epochs = ([0, 1], 2) if quick else ([0, 1, 2, 3, 4], 10)
    write_array(layout.text_vectors(SPLIT.role), values)
    write_json(layout.encoded / "about.json", {"vectors": None, "sha256": ""})
    places = np.arange(len(labels), dtype=np.int32)
    train, test, nothing = (part(few, labels) for few in np.split(places, [rows, len(places)]))
    names = [str(label) for label in range(CLASSES)]
    TokenizedCorpus(Vocabulary([UNKNOWN]), names, train, nothing, test).save(layout.split(SPLIT))

    def run() -> None:
        for family, name, sampler in CELLS:
            train_arms(
                layout, family, SPLIT.role,
                splits=[SPLIT], objective={"name": name}, samplers=[sampler], seeds=seeds,
                model=MODEL, settings=Train(epochs=epochs), progress=False,
            )  # fmt: skip

    def accuracies(_: Any, __: Any) -> str:
        found = []
        for family, name, sampler in CELLS:
            cell = Training(Arm(family, sampler), SPLIT, seeds[0])
            model = TrainedModel.load(layout.model(cell))
            predicted = model.predict_centroid(model.embed(values[rows:]))
            found.append(f"{name} {float((predicted == labels[rows:]).mean()):.3f}")
        return f"held-out accuracy of {' and '.join(found)}"

    return Case(
        "frozen",
        f"{len(seeds)} seeds × {epochs} epochs of {' and '.join(cell[1] for cell in CELLS)}, "
        f"{len(train):,} vectors of width {WIDTH}",
        run,
        note="in 2 processes; should take 120 s at most",
        check=accuracies,
        long=True,
    )


def part(rows: npt.NDArray[np.int32], labels: Int32) -> LabelledTokens:
    """Texts without a known token, each with its row among the vectors."""
    nothing = RaggedTokens(np.empty(0, np.int32), np.zeros(len(rows) + 1, np.int64))
    return LabelledTokens(nothing, labels[rows], rows)
