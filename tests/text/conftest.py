from __future__ import annotations

import argparse
import ast
import collections
import difflib
import json
import logging
import random
import statistics
import subprocess
import tarfile
import typing
from pathlib import Path

import pytest

MODULES = (
    argparse, collections, difflib, json, logging, random, statistics, subprocess, tarfile, typing,
)  # fmt: skip


@pytest.fixture(scope="session")
def docstrings() -> list[str]:
    """The docstrings in the sources of a few modules of the standard library."""
    texts = []
    for module in MODULES:
        assert module.__file__ is not None
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                texts.append(ast.get_docstring(node) or "")
    texts = [text for text in texts if text]
    assert len(texts) > 500
    return texts
