"""Every objective's loss and gradient, beside pytorch-metric-learning's where it has the same.

Batches of 64 rows of 4 classes in 32 dimensions, one thread, in turn. Each line gives the median
milliseconds of a loss with its gradient and the median, least and largest ratio to theirs over the
rounds, and how much memory one loss with gradient takes at 1,024 rows. "compiled" is what
training on the CPU takes where an objective does without torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import multiprocessing
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from pytorch_metric_learning import distances, losses, miners, reducers

from studies.command import title
from studies.trials import forget_peak, peak_mib
from textmetric.losses import OBJECTIVES, Objective, build, family_of

ROWS, MANY_ROWS, DIM, CLASSES = 64, 1024, 32, 4
CALLS = 50  # a timed round
MOST_MIB = 4096  # some losses would take 200 GiB
THEIRS = "pytorch-metric-learning"
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def plain(power: int = 1) -> distances.LpDistance:
    return distances.LpDistance(normalize_embeddings=False, power=power)


def after_layer_norm(theirs: Loss) -> Loss:
    return lambda embeddings, labels: theirs(
        torch.nn.functional.layer_norm(embeddings, (DIM,)), labels
    )


def with_miner(loss: Any, miner: Any) -> Loss:
    return lambda embeddings, labels: loss(embeddings, labels, miner(embeddings, labels))


# Our settings and theirs that compute the same, or nearly: what differs stands in the docs.
COUNTERPARTS: list[tuple[dict[str, Any], Callable[[], Loss]]] = [
    ({"name": "angular"}, lambda: losses.AngularLoss(alpha=45)),
    (
        {"name": "contrastive", "balanced": True},
        lambda: losses.ContrastiveLoss(
            pos_margin=0, neg_margin=1, distance=plain(), reducer=reducers.MeanReducer()
        ),
    ),
    ({"name": "lifted"}, lambda: losses.LiftedStructureLoss(distance=plain())),
    (
        {"name": "multi_similarity"},
        lambda: with_miner(losses.MultiSimilarityLoss(2, 50, 0.5), miners.MultiSimilarityMiner()),
    ),
    (
        {"name": "n_pair", "pairs": "one_per_class", "l2": 0},
        lambda: losses.NPairsLoss(
            distance=distances.DotProductSimilarity(normalize_embeddings=False)
        ),
    ),
    (
        {"name": "norm_softmax"},
        lambda: after_layer_norm(losses.NormalizedSoftmaxLoss(CLASSES, DIM, temperature=0.05)),
    ),
    ({"name": "proxy_nca"}, lambda: losses.ProxyNCALoss(CLASSES, DIM, softmax_scale=9)),
    (
        {"name": "ranked_list"},
        lambda: losses.RankedListLoss(margin=0.4, Tn=10, alpha=1.2, distance=plain()),
    ),
    ({"name": "sup_con"}, lambda: losses.SupConLoss(temperature=0.1)),
    (
        {"name": "triplet"},
        lambda: with_miner(
            losses.TripletMarginLoss(0.2, distance=plain(), reducer=reducers.MeanReducer()),
            miners.TripletMarginMiner(0.2, type_of_triplets="semihard", distance=plain()),
        ),
    ),
    (
        {"name": "triplet", "miner": "all"},
        lambda: losses.TripletMarginLoss(0.2, distance=plain(), reducer=reducers.MeanReducer()),
    ),
    (
        {"name": "triplet", "miner": "hard"},
        lambda: with_miner(
            losses.TripletMarginLoss(0.2, distance=plain(), reducer=reducers.MeanReducer()),
            miners.BatchHardMiner(distance=plain()),
        ),
    ),
]


def batch(rows: int, views: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows that are half trained: classes that overlap."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.arange(rows // views) % CLASSES).repeat(views)
    centres = torch.randn(CLASSES, DIM, generator=generator)
    embeddings = torch.randn(rows, DIM, generator=generator) + centres[labels]
    return embeddings.requires_grad_(), labels


def ours(settings: dict[str, Any]) -> Objective:
    torch.manual_seed(0)
    objective = build(family_of(settings["name"]), settings, dim=DIM, classes=CLASSES)
    objective.begin_epoch(1, 1, lambda: batch(ROWS)[0].detach().numpy())
    return objective


def step(loss: Any, embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    loss(embeddings, labels).backward()


def compiled_step(objective: Objective, embeddings: torch.Tensor, labels: torch.Tensor) -> object:
    """The objective's own gradient; None if it has none for its settings."""
    values = [parameter.detach().numpy() for parameter in objective.parameters()]
    return objective.loss_and_gradient(embeddings.detach().numpy(), labels.numpy(), values)


def milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        call()
    return 1000 * (time.perf_counter() - started) / CALLS


def growth(make: Callable[[], Any], views: int, one: Callable[..., object] = step) -> float:
    """MiB that one loss with its gradient takes, in a process of its own; inf if too much.

    Args:
        make: the loss.
        views: of each text in its batch.
        one: given the loss, embeddings and labels.
    """
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure_growth, args=(make, views, one, sender))
    process.start()
    sender.close()
    found = receiver.recv()
    process.join()
    return float(found)


def measure_growth(
    make: Callable[[], Any], views: int, one: Callable[..., object], sender: Connection
) -> None:
    give_back_at_once()
    loss = make()
    one(loss, *batch(8, views))  # whatever is loaded or compiled by the first call
    rows = batch(MANY_ROWS, views)
    limit = address_space() + MOST_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    forget_peak()
    before = peak_mib()
    try:
        one(loss, *rows)
    except (MemoryError, RuntimeError):  # torch's own error for want of memory
        sender.send(math.inf)
    else:
        sender.send(peak_mib() - before)


def give_back_at_once() -> None:
    """Have glibc, where it is, return every freed array: what it would keep varies by the run."""
    threshold = -3  # M_MMAP_THRESHOLD of malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(threshold, 1 << 16)


def address_space() -> int:
    """Bytes of address space that this process has taken; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def mebibytes(value: float) -> str:
    return f"over {MOST_MIB:,} MiB" if math.isinf(value) else f"{value:,.0f} MiB"


def main(rounds: int) -> None:
    warnings.filterwarnings("ignore", module="pytorch_metric_learning")
    known = {settings["name"] for settings, _ in COUNTERPARTS}
    cases: list[tuple[dict[str, Any], Callable[[], Loss] | None]] = [*COUNTERPARTS]
    cases += [
        ({"name": name}, None)
        for names in OBJECTIVES.values()
        for name in names
        if name not in known
    ]
    for settings, theirs in sorted(cases, key=lambda case: title(case[0])):
        objective = ours(settings)
        rows = batch(ROWS, objective.VIEWS)
        sides: dict[str, Callable[[], object]] = {"ours": partial(step, objective, *rows)}
        if theirs is not None:
            sides[THEIRS] = partial(step, theirs(), *rows)
        if compiled_step(objective, *rows) is not None:
            sides["compiled"] = partial(compiled_step, objective, *rows)
        for side in sides.values():
            side()
        times = [{name: milliseconds(side) for name, side in sides.items()} for _ in range(rounds)]
        told = []
        for name in sides:
            spent = [found[name] for found in times]
            text = f"{name} {statistics.median(spent):.2f} ms ({min(spent):.2f}-{max(spent):.2f})"
            if theirs is not None and name != THEIRS:
                ratios = [found[name] / found[THEIRS] for found in times]
                text += (
                    f", ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
                )
            told.append(text)
        make = partial(ours, settings)
        memory = mebibytes(growth(make, objective.VIEWS))
        if "compiled" in sides:
            memory += f", compiled {mebibytes(growth(make, objective.VIEWS, compiled_step))}"
        if theirs is not None:
            memory += f" against {mebibytes(growth(theirs, 1))}"
        print(f"objectives: {title(settings)}: {'; '.join(told)}; at {MANY_ROWS:,} rows {memory}",
              flush=True)  # fmt: skip
