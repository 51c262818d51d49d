"""Draw what each objective does to eight points of four classes in the plane.

The points are the embeddings themselves, two of each class, moved by the gradient alone (adagrad,
as in the pipeline): what an objective asks for, without an encoder in the way. Writes
objectives.png; takes some seconds.

Examples:
    python -m studies.eight_points
    python -m studies.eight_points --out /tmp --steps 1000
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from studies import charts, options
from textmetric import command
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.losses import OBJECTIVES, build

LABELS = np.array([0, 1, 2, 3, 0, 1, 2, 3])
STEPS = 300
RATE = 0.1
JITTER = 0.05
"""Standard deviation of the noise that replaces the altered copies of a text."""
# Layer norm leaves two points of the plane.
PARAMETERS: dict[str, dict[str, Any]] = {"norm_softmax": {"layer_norm": False}}


def paths(
    family: Family, objective: dict[str, Any], *, steps: int = STEPS, seed: int = 0
) -> NDArray[np.float64]:
    """Where an objective moves the points.

    Args:
        family: of the objective.
        objective: name and parameters.
        steps: of adagrad; proxies and heads are trained along.
        seed: of the start (the same for every objective), of weights and of mining.

    Returns:
        (steps + 1, 8, 2), the start first. ``LABELS`` has the classes.

    Raises:
        UserError: see :func:`textmetric.losses.build`.
    """
    start = np.random.default_rng(seed).normal(size=(len(LABELS), 2))
    noise = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    module = build(family, objective, dim=2, classes=4, seed=seed).double()
    points = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.Adagrad([points, *module.parameters()], lr=RATE)
    own = module.batches(LABELS.astype(np.int32), len(LABELS), seed)
    all_rows = np.arange(len(LABELS))
    found = [start]
    for step in range(1, steps + 1):
        module.begin_epoch(step, steps, lambda: points.detach().numpy().astype(np.float32))
        rows = torch.from_numpy(all_rows if own is None else next(iter(own.epoch())))
        embeddings, labels = points[rows], torch.from_numpy(LABELS)[rows]
        if module.VIEWS > 1:
            labels = labels.repeat(module.VIEWS)
            embeddings = embeddings.repeat(module.VIEWS, 1)
            embeddings = embeddings + JITTER * torch.randn(
                embeddings.shape, generator=noise, dtype=embeddings.dtype
            )
        optimizer.zero_grad()
        module(embeddings, labels).backward()
        optimizer.step()
        found.append(points.detach().numpy().copy())
    return np.stack(found)


def main(arguments: argparse.Namespace) -> None:
    """Draw all objectives of the registry."""
    if arguments.steps < 1:
        raise UserError(f"--steps is {arguments.steps}, expected at least 1")
    panels = {}
    for family in Family:
        for name in OBJECTIVES[family]:
            objective = {"name": name} | PARAMETERS.get(name, {})
            panels[options.title(objective)] = paths(family, objective, steps=arguments.steps)
    charts.eight_points(arguments.out / "objectives.png", panels, LABELS)
    print(arguments.out / "objectives.png")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("studies.eight_points", __doc__)
    made.add_argument("--steps", type=int, default=STEPS, help="(%(default)s)")
    made.add_argument(
        "--out",
        type=Path,
        default=Path("docs"),
        metavar="FOLDER",
        help="where the picture goes (%(default)s)",
    )
    return made


if __name__ == "__main__":
    command.run(main, parser())
