"""Where a training runs."""

from __future__ import annotations

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
    if name != "cpu" and not (name == "cuda" or name.removeprefix("cuda:").isdecimal()):
        raise UserError(f"{key} is {name!r}: use auto, cpu or cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"{key} is {name!r}, but torch finds no CUDA device: use auto or cpu")
    return torch.device(name)
