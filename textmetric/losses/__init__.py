"""The objectives, by name: one file each, found through one registry.

A new objective is one file in this folder, with a schema of its parameters and a class, and one
line in ``OBJECTIVES``. A file is only imported when its objective is asked for, so a training
depends on the code of its own objective alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal, cast, get_args

import pydantic

from textmetric.errors import UserError, unknown_name
from textmetric.losses.objective import (
    ClassificationObjective,
    Gradients,
    Objective,
    Parameters,
)

__all__ = [
    "OBJECTIVES",
    "ClassificationObjective",
    "Family",
    "Gradients",
    "Objective",
    "Parameters",
    "build",
    "describe",
    "family_of",
    "module_of",
    "parameters",
]

Family = Literal["classification", "metric"]

# family -> name -> "module.Class" in this folder
OBJECTIVES: dict[str, dict[str, str]] = {
    "classification": {
        "cross_entropy": "cross_entropy.CrossEntropy",
        "norm_softmax": "norm_softmax.NormSoftmax",
    },
    "metric": {
        "angular": "angular.Angular",
        "contrastive": "contrastive.Contrastive",
        "lifted": "lifted.Lifted",
        "multi_similarity": "multi_similarity.MultiSimilarity",
        "n_pair": "n_pair.NPair",
        "proxy_nca": "proxy_nca.ProxyNCA",
        "quadruplet": "quadruplet.Quadruplet",
        "ranked_list": "ranked_list.RankedList",
        "sup_con": "sup_con.SupCon",
        "triplet": "triplet.Triplet",
    },
}

# The block of params.yaml that holds the parameters of each family.
BLOCKS = {"classification": "classification", "metric": "loss"}


def build(
    family: Family, params: Mapping[str, Any], *, dim: int, classes: int, seed: int = 0
) -> Objective:
    """The objective ``params["name"]`` with its other parameters validated.

    Args:
        family: ``classification`` or ``metric``.
        params: ``name`` and the parameters of the objective; parameters left out take their
            defaults, and those of other objectives of the family are ignored, so that a change
            of ``name`` alone is enough to try another objective.
        dim: Width of the embeddings.
        classes: Number of classes.
        seed: Seed of the objective's own random draws. Weights of heads and proxies are drawn
            from torch's global generator.

    Raises:
        UserError: An unknown name or parameter, or a bad value; names it as params.yaml does
            (``loss.margin``, ``classification.name``).
    """
    checked = parameters(family, params)
    return _objective(family, params["name"])(checked, dim=dim, classes=classes, seed=seed)


def parameters(family: Family, params: Mapping[str, Any]) -> Parameters:
    """The validated parameters of the objective ``params["name"]``; see ``build``.

    Raises:
        UserError: As ``build``.
    """
    block = BLOCKS[family]
    if not isinstance(params, Mapping):
        raise UserError(
            f"{block} is {params!r}, but it should be a mapping with a name, "
            f"such as {{name: {next(iter(OBJECTIVES[family]))}}}"
        )
    name = params.get("name")
    if not isinstance(name, str) or name not in OBJECTIVES[family]:
        raise unknown_name(f"{block}.name", str(name), OBJECTIVES[family])
    schema = _objective(family, name).Params
    own = {key: value for key, value in params.items() if key in schema.model_fields}
    foreign = [key for key in params if key != "name" and key not in own]
    if foreign:
        known = {k for other in OBJECTIVES[family] for k in _fields(family, other)} | {"name"}
        for key in foreign:
            if key not in known:
                raise unknown_name("parameter", f"{block}.{key}", [f"{block}.{k}" for k in known])
    try:
        return schema(**own)
    except pydantic.ValidationError as error:
        raise _explained(block, schema, error) from None


def _objective(family: str, name: str) -> type[Objective]:
    module, _, attribute = OBJECTIVES[family][name].rpartition(".")
    return cast("type[Objective]", getattr(import_module(f"{__name__}.{module}"), attribute))


def _fields(family: str, name: str) -> list[str]:
    return list(_objective(family, name).Params.model_fields)


def _explained(block: str, schema: type[Parameters], error: pydantic.ValidationError) -> UserError:
    """The first of pydantic's complaints as one sentence that names the key of params.yaml."""
    first = error.errors(include_url=False)[0]
    key, value = str(first["loc"][0]), first["input"]
    field = schema.model_fields[key]
    if first["type"] == "literal_error":
        return unknown_name(f"{block}.{key}", str(value), get_args(field.annotation))
    expected = first["msg"].replace("Input", "it", 1)
    return UserError(f"{block}.{key} is {value!r}, but {expected} (default {field.default!r})")


def family_of(name: str) -> Family:
    """The family that has an objective called ``name``.

    Raises:
        UserError: none has.
    """
    for family in get_args(Family):
        if name in OBJECTIVES[family]:
            return cast("Family", family)
    raise unknown_name("objective", name, [name for known in OBJECTIVES.values() for name in known])


def describe(family: Family, params: Mapping[str, Any]) -> dict[str, Any]:
    """The name and all parameters of an objective, defaults filled in; see :func:`build`.

    Raises:
        UserError: As ``build``.
    """
    return {"name": params.get("name"), "parameters": parameters(family, params).model_dump()}


def module_of(family: Family, params: Mapping[str, Any]) -> str:
    """The dotted name of the module that holds the objective; see :func:`build`.

    Raises:
        UserError: As ``build``.
    """
    parameters(family, params)
    return f"{__name__}.{OBJECTIVES[family][params['name']].rpartition('.')[0]}"
