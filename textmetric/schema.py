"""Checked parameters: a misspelt key or a bad value is one sentence naming the key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from textmetric.errors import UserError, unknown_name


class Section(BaseModel):
    """A group of parameters: unknown keys are errors, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_Model = TypeVar("_Model", bound=BaseModel)


def validated(model: type[_Model], raw: Mapping[str, Any], prefix: str = "") -> _Model:
    """``raw`` as an instance of ``model``.

    Args:
        model: the schema.
        raw: what the user wrote; pydantic takes numpy's numbers as Python's.
        prefix: the place of ``raw`` in params.yaml, such as ``"loss"``, for the message.

    Raises:
        UserError: ``raw`` is no mapping; or the first key that is unknown, missing or out of range.
    """
    if not isinstance(raw, Mapping):
        raise UserError(f"{prefix} is {raw!r}, but it should be a mapping of keys to values")
    try:
        return model.model_validate(dict(raw))
    except ValidationError as error:
        raise _explained(model, error, prefix) from None


def _explained(model: type[BaseModel], error: ValidationError, prefix: str) -> UserError:
    """The first of pydantic's complaints as one sentence."""
    first = error.errors(include_url=False)[0]
    location, value = first["loc"], first["input"]
    key = ".".join([prefix] * bool(prefix) + [str(part) for part in location])
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first.get("ctx", {}).get("error"), UserError):
        return UserError(message)
    if not location:  # a complaint about the whole, in a sentence of its own
        return UserError(message)
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
    default = None if field is None or field.is_required() else field.default
    remedy = ": change it" if default is None else f" (default {default!r})"
    return UserError(f"{key} is {value!r}, but {message}{remedy}")


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
