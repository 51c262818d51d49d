"""Where a training runs."""

from __future__ import annotations

import re

import torch

from textmetric.errors import UserError


def choose_device(name: str, key: str) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:<n>``; auto prefers CUDA.

    Args:
        name: as the user wrote it.
        key: what the user calls it, for the message.

    Raises:
        UserError: another name, or CUDA where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = re.fullmatch("cpu|cuda(?::([0-9]{1,3}))?", name) if isinstance(name, str) else None
    if not found:
        raise UserError(f"{key} is {name!r}: use auto, cpu or cuda")
    there = torch.cuda.device_count()
    if name != "cpu" and int(found[1] or 0) >= there:
        raise UserError(
            f"{key} is {name!r}, but torch finds {there or 'no'} CUDA devices: use auto or cpu"
        )
    return torch.device(name)
