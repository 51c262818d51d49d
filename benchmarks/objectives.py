"""Every objective's loss and gradient, next to pytorch-metric-learning's where it has the same.

Batches of 64 rows of 4 classes in 32 dimensions, a loss with its gradient; memory is that of one
loss with gradient at 1,024 rows. "compiled" is what training on the CPU takes where an objective
does without torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import multiprocessing
import resource
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from pytorch_metric_learning import distances, losses, miners, reducers

from benchmarks.rounds import Case, Options, peak_memory
from studies.options import title
from textmetric.losses import OBJECTIVES, Objective, build, family_of

ROWS, MANY_ROWS, DIM, CLASSES = 64, 1024, 32, 4
CALLS = 50  # a timed round
QUICK_CALLS, QUICK_ROWS = 2, 64
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


# Our settings and theirs that compute the same, or nearly: the docs say what differs.
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


def growth(
    make: Callable[[], Any],
    views: int,
    one: Callable[..., object] = step,
    rows: int = MANY_ROWS,
) -> float | None:
    """MiB that one loss with its gradient takes, in a process of its own; inf if too much.

    Args:
        make: the loss.
        views: of each text in its batch.
        one: given the loss, embeddings and labels.
        rows: of the batch.

    Returns:
        None where the system does not tell.
    """
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure_growth, args=(make, views, one, rows, sender))
    process.start()
    sender.close()
    found: float | None = receiver.recv()
    process.join()
    return found


def measure_growth(
    make: Callable[[], Any], views: int, one: Callable[..., object], rows: int, sender: Connection
) -> None:
    give_back_at_once()
    loss = make()
    one(loss, *batch(8, views))  # whatever is loaded or compiled by the first call
    many = batch(rows, views)
    limit = address_space() + MOST_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    try:
        sender.send(peak_memory(partial(one, loss, *many))[1])
    except (MemoryError, RuntimeError):  # torch's own error for want of memory
        sender.send(math.inf)


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


def cases(options: Options) -> Iterator[Case]:
    """Each objective by autograd, as its counterpart is, and compiled if training has it so."""
    warnings.filterwarnings("ignore", module="pytorch_metric_learning")
    known = {settings["name"] for settings, _ in COUNTERPARTS}
    found: list[tuple[dict[str, Any], Callable[[], Loss] | None]] = [*COUNTERPARTS]
    found += [
        ({"name": name}, None)
        for names in OBJECTIVES.values()
        for name in names
        if name not in known
    ]
    rows = QUICK_ROWS if options.quick else MANY_ROWS
    for settings, counterpart in sorted(found, key=lambda pair: title(pair[0])):
        objective = ours(settings)
        views = objective.VIEWS

        def memory(
            one: Callable[..., object],
            settings: dict[str, Any] = settings,
            counterpart: Callable[[], Loss] | None = counterpart,
            views: int = views,
        ) -> tuple[float | None, float | None]:
            theirs = None if counterpart is None else growth(counterpart, 1, rows=rows)
            return growth(partial(ours, settings), views, one, rows), theirs

        made = partial(
            Case,
            "objectives",
            peer="" if counterpart is None else "pytorch-metric-learning",
            theirs=None if counterpart is None else partial(step, counterpart(), *batch(ROWS)),
            goal=None if counterpart is None else 1.0,
            calls=QUICK_CALLS if options.quick else CALLS,
            note=f"memory of {rows:,} rows, {MOST_MIB:,} MiB allowed",
        )
        some = batch(ROWS, views)
        ways: dict[str, Callable[..., object]] = {"by autograd": step}
        if compiled_step(objective, *some) is not None:
            ways["compiled"] = compiled_step
        for way, one in ways.items():
            yield made(
                f"{title(settings)}, {way}",
                partial(one, objective, *some),
                memory=partial(memory, one),
            )
