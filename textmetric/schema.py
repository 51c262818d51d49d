"""Checked parameters: a misspelt key or a bad value is one sentence naming the key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, get_args

import numpy as np

from textmetric.errors import UserError, cut, needing, shown, unknown_name

with needing("a schema of parameters", "train"):
    from pydantic import BaseModel, ConfigDict, Field, ValidationError


Seed = Annotated[int, Field(ge=0, lt=1 << 32)]
"""What the generators of numpy, scikit-learn and torch all take."""
Count = Annotated[int, Field(ge=1, lt=1 << 31)]
"""Of rows or tokens, whose numbers are int32."""
Width = Annotated[int, Field(ge=1, le=1 << 14)]
"""Of an embedding: four times that of the widest in use, and 6.5 GB for 100,000 tokens."""
Epochs = Annotated[int, Field(ge=1, le=100_000)]
"""As many would take months."""
BatchSize = Annotated[int, Field(ge=4, le=1 << 16)]
"""Objectives have a number for each pair of a batch: 16 GiB."""
LearningRate = Annotated[float, Field(gt=0, le=1000)]
LONGEST = 1000
"""Items of a list, such as seeds: each of them is trained, drawn or counted."""


class Section(BaseModel):
    """A group of parameters: unknown keys are errors, values cannot be changed.

    A number is no truth value and no string, and a whole number is no fraction: ``1.0`` is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


_Model = TypeVar("_Model", bound=BaseModel)


def validated(
    model: type[_Model],
    raw: Mapping[str, Any],
    prefix: str = "",
    *,
    defaults: Mapping[str, Any] | None = None,
    shown: Callable[[object], str] = shown,
) -> _Model:
    """``raw`` as an instance of ``model``.

    Args:
        model: the schema.
        raw: what the user wrote; numpy's numbers count as Python's, and tuples as lists.
        prefix: what the user calls ``raw``, such as ``"loss"``, for messages.
        defaults: by key, for messages, where the user's defaults are others than the schema's.
        shown: writes a value in messages.

    Raises:
        UserError: ``raw`` is no mapping; or the first key that is unknown, missing or out of range.
    """
    if not isinstance(raw, Mapping):
        raise UserError(f"{prefix} is {shown(raw)}, but it should be a mapping of keys to values")
    try:
        return model.model_validate(_plain(raw))
    except ValidationError as error:
        raise _explained(model, error, prefix, defaults, shown) from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _explained(
    model: type[BaseModel],
    error: ValidationError,
    prefix: str,
    defaults: Mapping[str, Any] | None,
    shown: Callable[[object], str],
) -> UserError:
    """The first of pydantic's complaints as one sentence."""
    first = error.errors(include_url=False)[0]
    location, value = first["loc"], first["input"]
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first.get("ctx", {}).get("error"), UserError):
        return UserError(message)
    if not location:  # a complaint about the whole, in a sentence of its own
        return UserError(message)
    if first["type"] == "invalid_key" or location[-1] == "[key]":
        place = location[: -2 if location[-1] == "[key]" else -1]
        around = ".".join([prefix] * bool(prefix) + [str(part) for part in place])
        return UserError(
            f"{around or 'it'} has the key {shown(value)}, but a key should be a string: quote it"
        )
    key = ".".join([prefix] * bool(prefix) + [cut(str(part)) for part in location])
    known = _section_around(model, location).model_fields
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        return UserError(f"unknown key {key!r}{hint} Known: {', '.join(sorted(known))}")
    if first["type"] == "missing":
        return UserError(f"{key!r} is missing: add it")
    field = known.get(str(location[-1]))  # None for an item of a list
    choices = get_args(field.annotation) if field else ()
    if first["type"] == "literal_error" and choices and isinstance(value, str):
        return unknown_name(key, value, choices)
    message = (message[:1].lower() + message[1:]).replace("input should", "it should", 1)
    remedy = ": change it"
    if defaults is not None and key in defaults:
        remedy = f" (default {shown(defaults[key])})"
    elif field is not None and not field.is_required():
        remedy = f" (default {shown(field.get_default(call_default_factory=True))})"
    return UserError(f"{key} is {shown(value)}, but {message}{remedy}")


def _section_around(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The section that holds the key at ``location``, as far as models tell."""
    here: type[BaseModel] = model
    for part in location[:-1]:
        field = here.model_fields.get(str(part))
        if field is None:
            continue
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                here = kind
    return here
