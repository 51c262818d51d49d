from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import textmetric.measures

MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(textmetric.measures.__path__, "textmetric.measures.")
]


def test_examples_in_docstrings_run() -> None:
    results = [doctest.testmod(module) for module in MODULES]
    assert sum(result.attempted for result in results) > 30
    assert sum(result.failed for result in results) == 0


def test_importing_measures_imports_no_slow_package() -> None:
    code = "import sys, textmetric.measures; print(*(name for name in sys.modules))"
    listing = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    loaded = set(listing.stdout.decode().split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "torchtext", "sklearn", "scipy", "faiss", "pandas"}
