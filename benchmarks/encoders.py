"""What each encoder costs, and how good it is with few labels: a table.

Each is trained by sup_con, 256 wide, and predicts by the nearest class centroid: token vectors that
start at random (learning rate 0.1), the same from given ones (0.03), and a linear layer over the
vectors of the sentence encoder that those were distilled from (0.03).

Examples:
    python -m benchmarks.encoders --corpus news/ --limit 4000
    python -m benchmarks.encoders --page docs/encoders.md
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch

from studies import options
from studies.marks import fill_in
from textmetric import command, splits
from textmetric.command import INTERACTIVE
from textmetric.corpora import load
from textmetric.encoders import TextVectors, token_vectors
from textmetric.encoders.frozen import sentence_vectors
from textmetric.grid import Family
from textmetric.model import TrainedModel
from textmetric.params import Model, Train, read
from textmetric.report.formats import table
from textmetric.text import LabelledTokens, TokenizedCorpus, tokenize_corpus
from textmetric.training.loop import train
from textmetric.types import Float32

NAME, DIM = "all-MiniLM-L6-v2", 256
SEEN = 100_000
"""Texts to train on in all; the epochs are as many as that takes, 4 to 30."""
EMBEDDED = 500
"""Texts whose embedding is timed."""
MARK = "costs of encoders"
_Result = TypeVar("_Result")


def main(arguments: argparse.Namespace) -> None:
    """Measure every encoder, and print the table or write it into a page."""
    frame = _frame(arguments)
    found = [
        _measured("random start", frame, Model(dim=DIM), 0.1, arguments),
        _measured("given vectors", frame, Model(dim=DIM, vectors=NAME), 0.03, arguments),
        _measured(
            "frozen", frame, Model(encoder="frozen", layer="linear", dim=DIM, vectors=NAME), 0.03,
            arguments,
        ),
    ]  # fmt: skip
    text = table(list(found[0]), [list(row.values()) for row in found])
    if arguments.page is None:
        print(text)
    else:
        fill_in(arguments.page, {MARK: text})


def _frame(arguments: argparse.Namespace) -> pd.DataFrame:
    """The train texts, and as many of the test texts as are asked for."""
    data = read("params.yaml").data.model_copy(update={"limit": arguments.limit})
    frame = load(
        options.mapping_or_name(arguments.corpus), limit=data.limit, validation=data.validation,
        test=data.test, seed=data.seed, mirror=data.mirror, progress=INTERACTIVE,
    ).frame  # fmt: skip
    parts = [frame[frame["split"] == "train"], frame[frame["split"] == "test"]]
    parts[1] = parts[1].sample(min(arguments.test, len(parts[1])), random_state=0)
    return pd.concat(parts, ignore_index=True)


def _measured(
    name: str, frame: pd.DataFrame, model: Model, lr: float, arguments: argparse.Namespace
) -> dict[str, str]:
    """A row of the table: its cells by the name of their column."""
    (corpus, vectors), prepared = _timed(lambda: _prepared(frame, model))
    row = {"encoder": name, "prepare (s)": f"{prepared:.1f}"}
    accuracies: dict[str, str] = {}
    rows = len(corpus.train)
    for budget in [*arguments.budgets, rows]:
        correct = []
        for draw in arguments.draws if budget < rows else arguments.draws[:1]:
            few = corpus if budget == rows else splits.few_rows(corpus, budget, draw)
            trained, seconds = _timed(
                lambda few=few, draw=draw: _trained(few, model, vectors, lr, draw)  # type: ignore[misc]
            )
            correct.append(_accuracy(trained, few.test, vectors))
        title = f"{rows:,} rows" if budget == rows else f"{budget} a class"
        accuracies[title] = f"{np.mean(correct):.3f}"
    row |= {f"train on {rows:,} rows (s)": f"{seconds:.2f}"}
    with tempfile.TemporaryDirectory() as folder:
        trained.save(Path(folder) / "model")
        size = sum(file.stat().st_size for file in (Path(folder) / "model").iterdir())
        loaded = TrainedModel.load(Path(folder) / "model")
    texts = frame["text"].tolist()[:EMBEDDED]
    loaded.embed(loaded.encode(texts[:5]))  # opens the sentence encoder
    _, seconds = _timed(lambda: loaded.embed(loaded.encode(texts)))
    row |= {"saved (MB)": f"{size / 1e6:.1f}", "texts a second": f"{len(texts) / seconds:,.0f}"}
    return row | accuracies


def _prepared(
    frame: pd.DataFrame, model: Model
) -> tuple[TokenizedCorpus, Float32 | TextVectors | None]:
    if model.encoder == "frozen":
        found = sentence_vectors(frame["text"].tolist(), str(model.vectors), progress=INTERACTIVE)
        return tokenize_corpus(frame, keep_rows=True, progress=False), found
    if model.vectors is None:
        return tokenize_corpus(frame, progress=False), None
    given = token_vectors(model.vectors, dim=model.dim, progress=INTERACTIVE)
    return tokenize_corpus(frame, given=given.vocabulary, progress=False), given.values


def _trained(
    few: TokenizedCorpus,
    model: Model,
    vectors: Float32 | TextVectors | None,
    lr: float,
    seed: int,
) -> TrainedModel:
    epochs = int(np.clip(round(SEEN / len(few.train)), 4, 30))
    if isinstance(vectors, TextVectors):
        few = few.by_text(len(vectors.values))
    return train(
        few, family=Family.METRIC, objective={"name": "sup_con"}, sampler="balanced", model=model,
        settings=Train(epochs=epochs, lr=lr), seed=seed, device=torch.device("cpu"),
        vectors=vectors,
    ).model  # fmt: skip


def _accuracy(
    model: TrainedModel, test: LabelledTokens, vectors: Float32 | TextVectors | None
) -> float:
    if isinstance(vectors, TextVectors):
        assert test.texts is not None
        embeddings = model.embed(vectors.values[test.texts])
    else:
        embeddings = model.embed(test.tokens)
    return float((model.predict_centroid(embeddings) == test.labels).mean())


def _timed(call: Callable[[], _Result]) -> tuple[_Result, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def _parser() -> argparse.ArgumentParser:
    made = command.parser("benchmarks.encoders", __doc__)
    made.add_argument(
        "--corpus", default="docstrings", metavar="SPEC",
        help="a built-in name, a path, or a mapping, see docs/corpora.md (%(default)s)",
    )  # fmt: skip
    made.add_argument("--limit", type=int, default=4000, help="train rows (%(default)s)")
    made.add_argument("--test", type=int, default=1000, help="test rows (%(default)s)")
    made.add_argument("--budgets", nargs="+", type=int, default=[8, 64], help="and all (8 64)")
    made.add_argument("--draws", nargs="+", type=int, default=[0, 1, 2], help="(0 1 2)")
    made.add_argument("--page", type=Path, metavar="FILE", help="write there, not to the terminal")
    return made


if __name__ == "__main__":
    command.run(main, _parser())
