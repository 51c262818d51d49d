"""Every objective's loss and gradient, beside pytorch-metric-learning's where it has the same.

Batches of 64 rows of 4 classes in 32 dimensions, one thread, in turn. Each line gives the median
milliseconds of a loss with its gradient and the median, least and largest ratio ours / theirs over
the rounds, and how much memory one loss with gradient takes at 1,024 rows. "compiled" is what
training on the CPU takes where an objective does without torch.
"""

from __future__ import annotations

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


def compiled_step(objective: Objective, rows: int) -> Callable[[], object] | None:
    """The objective's own gradient, if it has one for its settings."""
    embeddings, labels = batch(rows)
    arrays = embeddings.detach().numpy(), labels.numpy()
    values = [parameter.detach().numpy() for parameter in objective.parameters()]
    if objective.loss_and_gradient(*arrays, values) is None:
        return None
    return partial(objective.loss_and_gradient, *arrays, values)


def milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        call()
    return 1000 * (time.perf_counter() - started) / CALLS


def growth(make: Callable[[], Any], views: int) -> float:
    """MiB that one loss with its gradient takes, in a process of its own; inf if too much."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure_growth, args=(make, views, sender))
    process.start()
    sender.close()
    found = receiver.recv()
    process.join()
    return float(found)


def measure_growth(make: Callable[[], Any], views: int, sender: Connection) -> None:
    loss = make()
    step(loss, *batch(8, views))  # whatever is loaded or compiled by the first call
    rows = batch(MANY_ROWS, views)
    limit = address_space() + MOST_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    forget_peak()
    before = peak_mib()
    try:
        step(loss, *rows)
    except (MemoryError, RuntimeError):  # torch's own error for want of memory
        sender.send(math.inf)
    else:
        sender.send(peak_mib() - before)


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
            sides["pytorch-metric-learning"] = partial(step, theirs(), *rows)
        if (call := compiled_step(objective, ROWS)) is not None:
            sides["compiled"] = call
        for side in sides.values():
            side()
        times = [{name: milliseconds(side) for name, side in sides.items()} for _ in range(rounds)]
        told = []
        for name in sides:
            spent = [found[name] for found in times]
            text = f"{name} {statistics.median(spent):.2f} ms ({min(spent):.2f}-{max(spent):.2f})"
            if name == "pytorch-metric-learning":
                ratios = [found["ours"] / found[name] for found in times]
                text += (
                    f", ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
                )
            told.append(text)
        memory = mebibytes(growth(partial(ours, settings), objective.VIEWS))
        if theirs is not None:
            memory += f" against {mebibytes(growth(theirs, 1))}"
        print(f"objectives: {title(settings)}: {'; '.join(told)}; at {MANY_ROWS:,} rows {memory}",
              flush=True)  # fmt: skip
