"""Any loss of the package pytorch-metric-learning, as an objective: ``pml:<ClassName>``."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from typing import Annotated, Any, ClassVar, cast

import torch
from pydantic import BeforeValidator, create_model, model_validator

from textmetric.errors import UserError, needing, shown, unknown_name
from textmetric.losses.distances import mean_distances
from textmetric.losses.objective import Objective
from textmetric.schema import Section

PREFIX = "pml:"
LARGEST = 1_000_000

# Filled in by us. The package calls the width and the number of classes by these names.
SIZES = {
    "num_classes": "classes",
    "embedding_size": "dim",
    "descriptors_dim": "dim",
}
# Arguments that are objects or functions of the package, which params.yaml cannot hold.
OBJECTS = {
    "collect_stats",
    "distance",
    "embedding_regularizer",
    "mat_based_loss",
    "reducer",
    "weight_init_func",
    "weight_regularizer",
}
STEPS = 2
"""A loss is tried for this many steps: one may keep from the first what breaks the second."""
NUMBERS = (0.5, 10)
"""What to try a parameter without default with."""


class PML(Objective):
    """A loss of pytorch-metric-learning (Musgrave et al. 2020, arXiv 2008.09164), unchanged.

    Formula, defaults and what the batch must hold are those of the package, which also puts the
    embeddings on the unit sphere unless the loss says otherwise. Its parameters are the named
    arguments of its class that take a number, a truth value or a name; distances, reducers and
    regularisers stay the loss's own. Losses with weights get the number of classes and the width
    of the embeddings, and the trainer optimises their weights as any objective's.

    Deviations: none in the loss. What the package draws at random comes from the global
    generators of torch and numpy, not from ``seed``: with ``triplets_per_anchor`` a number, for
    one, the draws depend on what else the process draws.

    ``log`` holds ``positive_distance`` and ``negative_distance``, the mean Euclidean distance of
    same-class and different-class pairs of the embeddings as they are.
    """

    loss_class: ClassVar[type[torch.nn.Module]]
    title: ClassVar[str]

    def __init__(self, params: Section, *, dim: int, classes: int, seed: int = 0) -> None:
        super().__init__(params, dim=dim, classes=classes, seed=seed)
        given = params.model_dump(exclude_unset=True)
        self.loss = _tried(self.loss_class, given, dim=dim, classes=classes)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of ``embeddings`` (B, d) under ``labels`` (B,), as the package computes it.

        Raises:
            UserError: the package does not take such a batch.
        """
        try:
            value: torch.Tensor = self.loss(embeddings, labels).sum()
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
            problem = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"the objective {self.title!r} cannot use a batch of {len(labels)} rows "
                f"({problem}): use another sampler or another loss"
            ) from None
        self.log = {**mean_distances(embeddings, labels)}
        return value


@cache
def objective_class(name: str) -> type[PML]:
    """The objective called ``name``.

    Args:
        name: such as ``pml:ContrastiveLoss``.

    Raises:
        UserError: the package is not installed, or has no such loss, or numbers and names are
            not enough to build it.
    """
    known = _losses(name)
    if name not in known:
        raise unknown_name("loss.name", name, _trainable())
    loss = known[name]
    return cast(
        "type[PML]",
        type(
            loss.__name__,
            (PML,),
            {
                "__module__": __name__,
                "__doc__": PML.__doc__,
                "Params": _schema(loss),
                "loss_class": loss,
                "title": name,
            },
        ),
    )


def _tried(
    kind: type[torch.nn.Module], given: Mapping[str, Any], *, dim: int, classes: int
) -> torch.nn.Module:
    """A loss, after a copy of it was trained for :data:`STEPS` steps of random rows.

    So an error of the package shows when a loss is chosen, and not in a training. The global
    random state of torch is only changed by what draws the weights.

    Raises:
        UserError: it cannot be built or trained with these parameters.
    """
    sizes = {"dim": dim, "classes": classes}
    own = {name: sizes[SIZES[name]] for name in _arguments(kind) if name in SIZES}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's own, of torch
            loss = kind(**own, **given)
            with torch.random.fork_rng(devices=[]):
                _train(copy.deepcopy(loss), dim, classes)
    except Exception as error:  # the package raises errors of many types
        problem = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"the objective '{PREFIX}{kind.__name__}' does not run with the parameters "
            f"{dict(given)} ({problem}): change them, or use another loss"
        ) from None
    return loss


def _train(loss: torch.nn.Module, dim: int, classes: int) -> None:
    rows = torch.nn.Parameter(torch.randn(8, dim))
    optimizer = torch.optim.Adagrad([rows, *loss.parameters()], lr=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = loss(rows, torch.arange(8) % min(classes, 2))
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise TypeError("it does not return a scalar")
        torch.autograd.backward(value.sum())
        optimizer.step()
        if not value.isfinite().all() or not rows.isfinite().all():
            raise ValueError("its value or gradient is not finite")


@cache
def _trainable() -> list[str]:
    """The names of the losses that can be trained, those without defaults with a small number."""
    return [
        name for name, kind in _losses(PREFIX).items() if any(map(partial(_runs, kind), NUMBERS))
    ]


def _runs(kind: type[torch.nn.Module], number: float) -> bool:
    needed = [name for name, field in _schema(kind).model_fields.items() if field.is_required()]
    try:
        _tried(kind, dict.fromkeys(needed, number), dim=4, classes=4)
    except UserError:
        return False
    return True


def _losses(name: str) -> dict[str, type[torch.nn.Module]]:
    """The losses that can be built from numbers and names alone, by name."""
    with needing(f"the loss {shown(name)}", "pml"):
        package = import_module("pytorch_metric_learning.losses")
    base = package.BaseMetricLossFunction
    found = {
        f"{PREFIX}{key}": kind
        for key, kind in vars(package).items()
        if isinstance(kind, type) and issubclass(kind, base) and kind is not base
    }
    return {
        key: kind
        for key, kind in found.items()
        if not any(
            argument in OBJECTS and default is inspect.Parameter.empty
            for argument, default in _arguments(kind).items()
        )
    }


def _arguments(kind: type) -> dict[str, Any]:
    """The named arguments of a class and their defaults, including those it passes to its bases."""
    arguments: dict[str, Any] = {}
    asked = True  # does a level ask its caller for what it needs, or is it given that from below?
    for level in kind.__mro__:
        if "__init__" not in vars(level):
            continue
        parameters = list(inspect.signature(vars(level)["__init__"]).parameters.values())[1:]
        kinds = {parameter.kind for parameter in parameters}
        for parameter in parameters:
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and (asked or parameter.default is not parameter.empty):
                arguments.setdefault(parameter.name, parameter.default)
        asked = inspect.Parameter.VAR_POSITIONAL in kinds
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return arguments


def _schema(kind: type) -> type[Section]:
    """What of a class's arguments params.yaml may give, with its defaults."""
    fields: dict[str, Any] = {}
    for name, default in _arguments(kind).items():
        if name in SIZES or name in OBJECTS or name.endswith("_reg_weight"):
            continue
        if isinstance(default, bool):
            fields[name] = (bool, default)
        elif default is None or isinstance(default, str):
            fields[name] = (Annotated[Any, BeforeValidator(_number_or_name)], default)
        else:
            needed = default is inspect.Parameter.empty
            fields[name] = (Annotated[Any, BeforeValidator(_number)], ... if needed else default)
    tried: Any = model_validator(mode="after")(partial(_checked, kind))
    return create_model(
        f"{kind.__name__}Parameters",
        __base__=Section,
        __validators__={"tried": tried},
        **fields,
    )


def _checked(kind: type[torch.nn.Module], params: Section) -> Section:
    """The parameters, if the loss can be trained with them."""
    with torch.random.fork_rng(devices=[]):
        _tried(kind, params.model_dump(exclude_unset=True), dim=4, classes=4)
    return params


def _number(value: object) -> int | float:
    """An int stays one: the package counts with some of them."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("it should be a valid number")
    if not abs(value) <= LARGEST:  # NaN, too
        raise ValueError(f"it should be a number from -{LARGEST:,} to {LARGEST:,}")
    return value


def _number_or_name(value: object) -> object:
    return value if value is None or isinstance(value, str) else _number(value)
