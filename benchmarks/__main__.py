"""Time our code against its peers, in turn, on the same work, one thread each unless said.

The texts are docstrings of the standard library, or those of a table. Each line gives the median
seconds of both sides and the median, least and largest ratio ours / peer over the rounds; warm-up
is not counted. fastText is timed where the module is installed: whole runs of 5 seeds with 10
epochs each, ours in 2 processes, its own with 2 threads one after another, both from tokens on
disk, imports not counted; the accuracies on a held-out fifth stand beside. "objectives" times the
loss and the gradient of each objective alone, in milliseconds, and tells their memory.

Examples:
    python -m benchmarks
    python -m benchmarks training --rounds 3 --texts news.csv
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks import objectives
from textmetric.arm import train_arm
from textmetric.batching import BatchSampler
from textmetric.corpora.docstrings import collect, folders
from textmetric.encoder import Encoder
from textmetric.losses import build
from textmetric.measures import retrieval
from textmetric.model import TrainedModel
from textmetric.params import Model, Train
from textmetric.text import LabelledTokens, tokenize, tokenize_corpus, tokenize_train
from textmetric.training import fit

# A side may give a function that tells the accuracy, which is called when the clock stands.
Side = Callable[[], object]
Case = tuple[str, Side, str, Side]


def texts(table: str | None, rows: int = 4000) -> tuple[list[str], np.ndarray]:
    if table is not None:
        frame = pd.read_csv(table, keep_default_na=False)
        return frame["text"].tolist(), frame["label"].astype("category").cat.codes.to_numpy("int32")
    frame, _ = collect(folders({"stdlib": None}), by_module=True, progress=False)
    largest = frame["label"].value_counts().index[:7]
    frame = frame[frame["label"].isin(largest)][:rows]
    return frame["text"].tolist(), frame["label"].astype("category").cat.codes.to_numpy(np.int32)


def tokenizer(table: str | None) -> Iterator[Case]:
    from torchtext.data.utils import get_tokenizer

    theirs = get_tokenizer("basic_english")
    some, _ = texts(table)
    yield (
        f"tokens of {len(some):,} texts",
        lambda: [len(tokens) for tokens in tokenize(some)],
        "torchtext",
        lambda: [len(theirs(text)) for text in some],
    )


def training(table: str | None) -> Iterator[Case]:
    some, labels = texts(table)
    vocabulary, tokens = tokenize_train(some)
    data = LabelledTokens(tokens, labels)
    classes = int(labels.max()) + 1
    for family, name, sampler, optimizer in (
        ("classification", "cross_entropy", "shuffled", "sgd"),
        ("classification", "cross_entropy", "shuffled", "adagrad"),
        ("metric", "triplet", "balanced", "adagrad"),
    ):

        def ours(
            plain: bool = False,
            family: str = family,
            name: str = name,
            sampler: str = sampler,
            optimizer: str = optimizer,
        ) -> None:
            torch.manual_seed(0)
            encoder = Encoder(len(vocabulary), 32)
            objective = build(family, {"name": name}, dim=32, classes=classes)
            settings = Train(epochs=1, optimizer=optimizer)
            fit(encoder, objective, data, settings, sampler=sampler, seed=0, plain=plain)

        def peer(
            family: str = family,
            name: str = name,
            sampler: str = sampler,
            optimizer: str = optimizer,
        ) -> None:
            torch.manual_seed(0)
            bag = torch.nn.EmbeddingBag(len(vocabulary), 32, mode="mean", sparse=True)
            objective = build(family, {"name": name}, dim=32, classes=classes)
            kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adagrad
            updates = kind([*bag.parameters(), *objective.parameters()], lr=0.1)
            for rows in BatchSampler(sampler, labels, 64, seed=0).epoch():
                batch = tokens.take(rows)
                embeddings = bag(
                    torch.from_numpy(batch.ids), torch.from_numpy(batch.offsets[:-1]).int()
                )
                updates.zero_grad()
                objective(embeddings, torch.from_numpy(labels[rows].astype(np.int64))).backward()
                updates.step()

        case = f"an epoch of {name}, {optimizer}, {len(some):,} texts"
        yield case, ours, "our step by torch alone", functools.partial(ours, plain=True)
        yield case, ours, f"sparse EmbeddingBag and torch.optim, {optimizer}", peer
    if importlib.util.find_spec("fasttext") is None:
        print("training: fasttext is not installed, so it is not timed", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield from against_fasttext(some, labels, Path(folder))


def against_fasttext(some: list[str], labels: np.ndarray, folder: Path) -> Iterator[Case]:
    import fasttext

    seeds, epochs = [0, 1, 2, 3, 4], 10
    rng = np.random.default_rng(0)
    part = rng.choice(["train", "validation", "test"], size=len(some), p=[0.75, 0.05, 0.2])
    corpus = tokenize_corpus(
        pd.DataFrame({"text": some, "label": labels, "split": part}), progress=False
    )
    corpus.save(folder / "split")
    words = np.array(corpus.vocabulary.tokens, dtype=object)
    for name in ("train", "test"):
        rows = getattr(corpus, name)
        lines = [
            f"__label__{label} {' '.join(words[ids])}"
            for label, ids in zip(
                rows.labels, np.split(rows.tokens.ids, rows.tokens.offsets[1:-1]), strict=True
            )
        ]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def theirs() -> Callable[[], float]:
        for _ in seeds:
            model = fasttext.train_supervised(
                str(folder / "train.txt"), dim=32, epoch=epochs, minCount=1, thread=2, verbose=0
            )
        return lambda: float(model.test(str(folder / "test.txt"))[1])

    for family, name, sampler in (
        ("classification", "cross_entropy", "shuffled"),
        ("metric", "triplet", "balanced"),
    ):

        def ours(
            family: str = family, name: str = name, sampler: str = sampler
        ) -> Callable[[], float]:
            train_arm(
                folder / "split", folder / name, folder / "curves.csv", folder / "costs.json",
                family=family, objective={"name": name}, sampler=sampler, seeds=seeds,
                model=Model(), settings=Train(epochs=epochs), progress=False,
            )  # fmt: skip
            model = TrainedModel.load(folder / name / "seed-0")
            predict = model.predict_centroid if model.head is None else model.predict_head
            test = corpus.test
            return lambda: float((predict(model.embed(test.tokens)) == test.labels).mean())

        yield f"{len(seeds)} seeds × {epochs} epochs of {name}", ours, "fastText", theirs


def measures(table: str | None) -> Iterator[Case]:
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, size=6000)
    rows = (rng.normal(size=(7, 32))[labels] + rng.normal(size=(6000, 32))).astype(np.float32)
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        k="max_bin_count",
        device=torch.device("cpu"),
    )
    units = torch.nn.functional.normalize(torch.from_numpy(rows))
    yield (
        "MAP@R of 6,000 rows, 7 classes",
        lambda: retrieval(rows, labels, ks=(1,)),
        "pytorch-metric-learning",
        lambda: calculator.get_accuracy(units, torch.from_numpy(labels)),
    )


PARTS = {"tokenizer": tokenizer, "training": training, "measures": measures}


def seconds(side: Side) -> float:
    started = time.perf_counter()
    side()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts",
        nargs="*",
        choices=[*PARTS, "objectives", []],
        help=", ".join([*PARTS, "objectives"]),
    )
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (%(default)s)")
    parser.add_argument("--texts", help="csv with the columns text and label", metavar="FILE")
    arguments = parser.parse_args()
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        torch.set_num_threads(1)
        for part in arguments.parts or [*PARTS, "objectives"]:
            if part == "objectives":
                objectives.main(arguments.rounds)
                continue
            for case, ours, peer, theirs in PARTS[part](arguments.texts):
                told = [side() for side in (ours, theirs)]  # warm-up
                pairs = [(seconds(ours), seconds(theirs)) for _ in range(arguments.rounds)]
                ratios = [one / other for one, other in pairs]
                accuracies = " and ".join(f"{tell():.4f}" for tell in told if callable(tell))
                print(
                    f"{part}: {case}: ours {statistics.median(p[0] for p in pairs):.3f} s, "
                    f"{peer} {statistics.median(p[1] for p in pairs):.3f} s, "
                    f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
                    + (f", accuracy {accuracies}" if accuracies else ""),
                    flush=True,
                )


if __name__ == "__main__":
    main()
