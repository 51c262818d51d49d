from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import textmetric.measures

MODULES = [
    importlib.import_module(f"textmetric.measures.{module.name}")
    for module in pkgutil.iter_modules(textmetric.measures.__path__)
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_are_true(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


def test_importing_the_measures_imports_nothing_slow() -> None:
    code = "import sys, textmetric.measures; print(*(name for name in sys.modules))"
    listing = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    loaded = set(listing.stdout.decode().split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "torchtext", "sklearn", "scipy", "faiss", "pandas"}
