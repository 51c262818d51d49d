"""What two machines must share to give the same results."""

from __future__ import annotations

import hashlib
import importlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "numba", "numpy", "openTSNE", "pandas", "pyarrow", "safetensors", "scikit-learn", "scipy",
    "torch",
)  # fmt: skip
"""Those whose version changes results."""
_SHOWN = 8

_first: dict[str, str] = {}
"""Packages of code → its sum when it was first looked at."""


def signature(module: str) -> dict[str, str]:
    """What results may depend on, beside the files that jobs read.

    Args:
        module: of the function that does the jobs.

    Returns:
        The python version, a sum of the code, the versions of :data:`PACKAGES`, and the processor,
        for which loops are compiled. Code that has changed since this process first looked is
        ``changed since the worker started``, since the process may hold the old one.

    Raises:
        ImportError: the module is not there.
    """
    code = {name: _code(name) for name in ("textmetric", _package_of(module))}
    stale = any(_first.setdefault(name, value) != value for name, value in code.items())
    together = hashlib.sha256("".join(code.values()).encode()).hexdigest()[:_SHOWN]
    return {
        "the code": "changed since the worker started" if stale else together,
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _version(name) for name in PACKAGES},
        "the processor": _processor(),
    }


def _package_of(module: str) -> str:
    """The package that a module is in; the module itself if that is a folder without a file."""
    package = module.partition(".")[0]
    return package if getattr(importlib.import_module(package), "__file__", None) else module


def _code(module: str) -> str:
    """The sum of the Python files of a package, or of the file of another module."""
    root = Path(str(importlib.import_module(module).__file__))
    files = sorted(root.parent.rglob("*.py")) if root.name == "__init__.py" else [root]
    digest = hashlib.sha256()
    for each in files:
        digest.update(f"{each.relative_to(root.parent)}\n".encode())
        digest.update(hashlib.sha256(each.read_bytes()).digest())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not there"


def _processor() -> str:
    """Its name, and a sum of what it can do."""
    from llvmlite import binding

    features = binding.get_host_cpu_features().flatten()
    return f"{binding.get_host_cpu_name()}-{hashlib.sha256(features.encode()).hexdigest()[:4]}"
