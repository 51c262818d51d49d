from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import textmetric.measures

MODULES = [
    importlib.import_module(f"textmetric.measures.{module.name}")
    for module in pkgutil.iter_modules(textmetric.measures.__path__)
]


def test_the_examples_in_the_docstrings_are_true() -> None:
    results = [doctest.testmod(module) for module in MODULES]
    assert sum(result.attempted for result in results) > 20
    assert sum(result.failed for result in results) == 0


def test_importing_the_measures_imports_nothing_slow() -> None:
    code = "import sys, textmetric.measures; print(*(name for name in sys.modules))"
    listing = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    loaded = set(listing.stdout.decode().split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "torchtext", "sklearn", "scipy", "faiss", "pandas"}
