"""The objectives, by name: one file each, found through one registry.

A new objective is one file in this folder, with a schema of its parameters and a class, and one
line in ``OBJECTIVES``. A file is only imported when its objective is asked for, so a training
depends on the code of its own objective alone. Next to these, ``pml:<ClassName>`` is any loss of
the package pytorch-metric-learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from textmetric.errors import UserError, unknown_name
from textmetric.grid import Family
from textmetric.losses.objective import (
    ClassificationObjective,
    Gradients,
    Objective,
)
from textmetric.schema import Section, validated

__all__ = [
    "OBJECTIVES",
    "ClassificationObjective",
    "Gradients",
    "Objective",
    "build",
    "carried_over",
    "class_of",
    "describe",
    "family_of",
    "ignored",
    "label_free",
    "module_of",
    "named",
    "parameters",
    "refuse_frozen",
]

OBJECTIVES: dict[Family, dict[str, str]] = {
    Family.CLASSIFICATION: {
        "cross_entropy": "cross_entropy.CrossEntropy",
        "norm_softmax": "norm_softmax.NormSoftmax",
    },
    Family.METRIC: {
        "angular": "angular.Angular",
        "contrastive": "contrastive.Contrastive",
        "dvml": "dvml.DVML",
        "facility_location": "facility_location.FacilityLocation",
        "invariant_spreading": "invariant_spreading.InvariantSpreading",
        "inverse_cloze": "inverse_cloze.InverseCloze",
        "lifted": "lifted.Lifted",
        "magnet": "magnet.Magnet",
        "multi_similarity": "multi_similarity.MultiSimilarity",
        "n_pair": "n_pair.NPair",
        "prototypical": "prototypical.Prototypical",
        "proxy_nca": "proxy_nca.ProxyNCA",
        "quadruplet": "quadruplet.Quadruplet",
        "ranked_list": "ranked_list.RankedList",
        "sup_con": "sup_con.SupCon",
        "triplet": "triplet.Triplet",
    },
}
"""By family, the names of the objectives and where each is: ``module.Class`` in this folder."""

# What params.yaml starts with.
DEFAULTS = {Family.CLASSIFICATION: "cross_entropy", Family.METRIC: "triplet"}

# Losses of pytorch-metric-learning are called by their class: pml:ContrastiveLoss.
PML = "pml:"


def build(
    family: Family, params: Mapping[str, Any], *, dim: int, classes: int, seed: int = 0
) -> Objective:
    """The objective ``params["name"]`` with its other parameters validated.

    Args:
        family: ``classification`` or ``metric``.
        params: ``name`` and the parameters of the objective; parameters left out take their
            defaults. Those that only other objectives of the family have are ignored, so that
            a change of ``name`` alone is enough to try another objective; :func:`ignored` and
            :func:`carried_over` tell what that does.
        dim: Width of the embeddings.
        classes: Number of classes.
        seed: Of the training, see :class:`.Objective`. Weights of heads and proxies are drawn
            from torch's global generator.

    Raises:
        UserError: An unknown name or parameter, or a bad value; names it as params.yaml does
            (``loss.margin``, ``classification.name``).
    """
    checked = parameters(family, params)
    return _objective(family, params["name"])(checked, dim=dim, classes=classes, seed=seed)


def parameters(family: Family, params: Mapping[str, Any], section: str | None = None) -> Section:
    """The validated parameters of the objective ``params["name"]``; see ``build``.

    Args:
        family: of the objective.
        params: its name and parameters.
        section: what the user calls ``params``, for messages; by default as in params.yaml.

    Raises:
        UserError: As ``build``.
    """
    schema, foreign = _schema(family, params), ignored(family, params, section)
    own = {k: value for k, value in params.items() if k != "name" and k not in foreign}
    return validated(schema, own, Family(family).section if section is None else section)


def ignored(family: Family, params: Mapping[str, Any], section: str | None = None) -> list[str]:
    """The given parameters that only other objectives of the family have, in their order.

    ``section`` is what the user calls ``params``, see :func:`parameters`.

    Raises:
        UserError: An unknown name, or a parameter that no objective of the family has.
    """
    schema = _schema(family, params)
    section = Family(family).section if section is None else section
    foreign = [key for key in params if key != "name" and key not in schema.model_fields]
    if foreign:
        others = {key for name in OBJECTIVES[family] for key in _fields(family, name)}
        own = [f"{section}.{key}" for key in ("name", *schema.model_fields)]
        for key in foreign:
            if key not in others:
                raise unknown_name("parameter", f"{section}.{key}", own)
    return foreign


def named(name: str, given: Mapping[str, Any], section: str, key: str) -> dict[str, Any]:
    """The objective as :func:`build` takes it, from its name and parameters given for it alone.

    Sections of params.yaml may keep parameters of another objective; these may not.

    Args:
        name: of the objective.
        given: its parameters.
        section: what the user calls ``given``, for messages.
        key: what the user calls ``name``.

    Raises:
        UserError: the objective is unknown, or a parameter is not its own or has a bad value.
    """
    family = family_of(name)
    if not isinstance(given, Mapping):
        raise UserError(f"{section} is {given!r}, but it should be a mapping of keys to values")
    if "name" in given:
        raise UserError(f"{section} has 'name': give the name as {key}")
    objective = {"name": name, **given}
    for foreign in ignored(family, objective, section):
        raise UserError(f"{section} has {foreign!r}, which {name!r} does not have: drop it")
    parameters(family, objective, section)
    return objective


def label_free(name: str, given: Mapping[str, Any], section: str = "pretrain") -> dict[str, Any]:
    """An objective that needs no labels, see :func:`named`.

    Args:
        name: of the objective.
        given: its parameters.
        section: of both, for messages.

    Raises:
        UserError: the objective needs labels, or as :func:`named`.
    """
    objective = named(name, given, f"{section}.parameters", f"{section}.objective")
    if class_of(name).NEEDS_LABELS:
        every = (other for names in OBJECTIVES.values() for other in names)
        free = [other for other in every if not class_of(other).NEEDS_LABELS]
        raise UserError(
            f"{section}.objective is {name!r}, which needs labels: choose {' or '.join(free)}"
        )
    return objective


def carried_over(family: Family, params: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The given parameters that differ from the objective's defaults: ``{key: (given, default)}``.

    A default of None means that the parameter has none.

    Raises:
        UserError: As ``build``.
    """
    given, fields = parameters(family, params), _schema(family, params).model_fields
    defaults = {
        key: None if fields[key].is_required() else fields[key].get_default()
        for key in params
        if key in fields
    }
    return {
        key: (getattr(given, key), default)
        for key, default in defaults.items()
        if getattr(given, key) != default
    }


def family_of(name: str) -> Family:
    """The family that has an objective called ``name``.

    Raises:
        UserError: none has.
    """
    for family in Family:
        if _is_known(family, name):
            return family
    raise unknown_name("objective", name, [*_names(Family.CLASSIFICATION), *_names(Family.METRIC)])


def describe(family: Family, params: Mapping[str, Any]) -> dict[str, Any]:
    """The name and all parameters of an objective, defaults filled in; see :func:`build`.

    Raises:
        UserError: As ``build``.
    """
    checked = parameters(family, params)
    return {"name": params["name"], "parameters": checked.model_dump()}


def refuse_frozen(objective: type[Objective], name: str) -> None:
    """Refuse an objective that needs tokens, where the encoder is frozen and has none.

    Raises:
        UserError: the objective alters the tokens of a text.
    """
    if objective.VIEWS > 1:
        raise UserError(
            f"{name} compares altered copies of a text, but a frozen encoder has one vector a "
            "text and no tokens to alter: choose another objective, or set model.encoder to bag"
        )


def module_of(family: Family, params: Mapping[str, Any]) -> str:
    """The dotted name of the module that holds the objective; see :func:`build`.

    Raises:
        UserError: As ``build``.
    """
    parameters(family, params)
    name = params["name"]
    place = "pml" if name.startswith(PML) else OBJECTIVES[family][name].rpartition(".")[0]
    return f"{__name__}.{place}"


def class_of(name: str) -> type[Objective]:
    """The class of an objective.

    Raises:
        UserError: no objective has this name.
    """
    return _objective(family_of(name), name)


def _schema(family: Family, params: Mapping[str, Any]) -> type[Section]:
    """The schema of ``params["name"]``, which is checked."""
    block, example = Family(family).section, f"{{name: {DEFAULTS[family]}}}"
    if not isinstance(params, Mapping):
        raise UserError(
            f"{block} is {params!r}, but it should be a mapping with a name, such as {example}"
        )
    if "name" not in params:
        raise UserError(f"{block}.name is missing: add it, such as {example}")
    if not _is_known(family, params["name"]):
        raise unknown_name(f"{block}.name", str(params["name"]), _names(family))
    return _objective(family, params["name"]).Params


def _is_known(family: Family, name: object) -> bool:
    # Which losses pytorch-metric-learning has is only known where it is installed.
    return isinstance(name, str) and (
        name in OBJECTIVES[family] or (family == "metric" and name.startswith(PML))
    )


def _names(family: Family) -> list[str]:
    return [*OBJECTIVES[family], *([f"{PML}<ClassName>"] if family == "metric" else [])]


def _objective(family: Family, name: str) -> type[Objective]:
    if name.startswith(PML):
        adapter = import_module(f"{__name__}.pml")
        return cast("type[Objective]", adapter.objective_class(name))
    module, _, attribute = OBJECTIVES[family][name].rpartition(".")
    return cast("type[Objective]", getattr(import_module(f"{__name__}.{module}"), attribute))


def _fields(family: Family, name: str) -> list[str]:
    return list(_objective(family, name).Params.model_fields)
