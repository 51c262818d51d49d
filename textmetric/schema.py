"""Checked sections of parameters: a misspelt key or a bad value is one sentence naming the key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from textmetric.errors import UserError


class Section(BaseModel):
    """A group of parameters: unknown keys are errors, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_Model = TypeVar("_Model", bound=BaseModel)


def validated(model: type[_Model], raw: Mapping[str, Any], prefix: str = "") -> _Model:
    """``raw`` as an instance of ``model``.

    Args:
        model: the schema.
        raw: what the user wrote.
        prefix: the place of ``raw`` in params.yaml, such as ``"loss"``, for the message.

    Raises:
        UserError: the first key that is unknown, missing or out of range.
    """
    try:
        return model.model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([prefix] * bool(prefix) + [str(part) for part in first["loc"]])
        if first["type"] == "extra_forbidden":
            known = _keys_beside(model, first["loc"])
            near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UserError(
                f"params.yaml: unknown key {key!r}{hint} Known: {', '.join(known)}"
            ) from None
        if first["type"] == "missing":
            raise UserError(f"params.yaml: {key!r} is missing: add it") from None
        message = first["msg"].removeprefix("Value error, ")
        if not key:
            raise UserError(f"params.yaml: {message}") from None
        message = message[:1].lower() + message[1:]
        raise UserError(
            f"params.yaml: {key} is {first['input']!r}, but {message}: change it"
        ) from None


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the section around ``location`` knows, as far as models tell."""
    here: type[BaseModel] = model
    for part in location[:-1]:
        field = here.model_fields.get(str(part))
        if field is None:
            continue
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                here = kind
    return sorted(here.model_fields)
