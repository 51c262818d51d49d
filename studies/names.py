"""The names of results: hashes of what they depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

from textmetric.pipeline.stage_code import code_of

ROOT = Path(__file__).parents[1]
# It only says where an objective is found. What it leads to, the module and the parameters, is
# hashed; with it in the hash, adding an objective would do every training again.
REGISTRY = "textmetric/losses/__init__.py"
PACKAGES = ("numba", "numpy", "torch")


def name_of(identity: object, *modules: str, packages: Sequence[str] = PACKAGES) -> str:
    """The name of a result: 24 digits of a hash.

    Args:
        identity: what the result depends on, as JSON has it.
        modules: whose code makes it, each module of ``studies`` by itself: imports are followed
            inside of the library only.
        packages: whose version counts.
    """
    about = [identity, code(*modules), {package: version(package) for package in packages}]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:24]


@cache
def code(*modules: str) -> dict[str, str]:
    """The hash of each file that the modules import, by path, without :data:`REGISTRY`."""
    found = code_of(modules, ROOT)
    found.pop(REGISTRY, None)
    return found
