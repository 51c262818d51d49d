"""Time our code against its peers, in turn, on the same work, one thread each.

The texts are docstrings of the standard library. Each line gives the median seconds of both sides
and the median, least and largest ratio ours / peer over the rounds; warm-up is not counted.

Examples:
    python -m benchmarks
    python -m benchmarks training --rounds 3
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from textmetric.batching import BatchSampler
from textmetric.corpora.docstrings import collect, folders
from textmetric.encoder import Encoder
from textmetric.losses import build
from textmetric.measures import retrieval
from textmetric.params import Train
from textmetric.text import LabelledTokens, tokenize, tokenize_train
from textmetric.training import fit

Case = tuple[str, Callable[[], object], str, Callable[[], object]]


def texts(rows: int = 4000) -> tuple[list[str], np.ndarray]:
    frame, _ = collect(folders({"stdlib": None}), by_module=True, progress=False)
    largest = frame["label"].value_counts().index[:7]
    frame = frame[frame["label"].isin(largest)][:rows]
    return frame["text"].tolist(), frame["label"].astype("category").cat.codes.to_numpy(np.int32)


def tokenizer() -> Iterator[Case]:
    from torchtext.data.utils import get_tokenizer

    theirs = get_tokenizer("basic_english")
    some, _ = texts()
    yield (
        f"tokens of {len(some):,} texts",
        lambda: [len(tokens) for tokens in tokenize(some)],
        "torchtext",
        lambda: [len(theirs(text)) for text in some],
    )


def training() -> Iterator[Case]:
    some, labels = texts()
    vocabulary, tokens = tokenize_train(some)
    data = LabelledTokens(tokens, labels)
    settings = Train(epochs=1)
    for family, params in (
        ("classification", {"name": "cross_entropy"}),
        ("metric", {"name": "triplet"}),
    ):

        def ours(family: str = family, params: dict[str, str] = params) -> None:
            torch.manual_seed(0)
            encoder = Encoder(len(vocabulary), 32)
            objective = build(family, params, dim=32, classes=7)
            fit(encoder, objective, data, settings, sampler="balanced", seed=0)

        def peer(family: str = family, params: dict[str, str] = params) -> None:
            torch.manual_seed(0)
            bag = torch.nn.EmbeddingBag(len(vocabulary), 32, mode="mean", sparse=True)
            objective = build(family, params, dim=32, classes=7)
            optimizer = torch.optim.Adagrad([*bag.parameters(), *objective.parameters()], lr=0.1)
            for rows in BatchSampler("balanced", labels, 64, seed=0).epoch():
                batch = tokens.take(rows)
                embeddings = bag(
                    torch.from_numpy(batch.ids), torch.from_numpy(batch.offsets[:-1]).int()
                )
                optimizer.zero_grad()
                objective(embeddings, torch.from_numpy(labels[rows].astype(np.int64))).backward()
                optimizer.step()

        yield f"an epoch of {params['name']}", ours, "torch.optim.Adagrad, sparse", peer


def measures() -> Iterator[Case]:
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


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (%(default)s)")
    arguments = parser.parse_args()
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        torch.set_num_threads(1)
        for part in arguments.parts or PARTS:
            for case, ours, peer, theirs in PARTS[part]():
                ours(), theirs()  # warm-up
                pairs = [(seconds(ours), seconds(theirs)) for _ in range(arguments.rounds)]
                ratios = [one / other for one, other in pairs]
                print(
                    f"{part}: {case}: ours {statistics.median(p[0] for p in pairs):.3f} s, "
                    f"{peer} {statistics.median(p[1] for p in pairs):.3f} s, "
                    f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
