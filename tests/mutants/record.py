"""Which test executes which line: a trace of every test, kept until the code changes."""

from __future__ import annotations

import ast
import builtins
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from tests.mutants.changes import ROOT, tree_of
from tests.mutants.processes import imported_from, in_a_fork, run_pytest

# They start programs, or reach none of the modules.
LEFT_OUT = (
    "corpora/*",
    "pipeline/test_contract.py",
    "pipeline/test_plots.py",
    "pipeline/test_stage*.py",
    "report/test_fig*.py",
    "report/test_page*.py",
    "studies/*",
    "test_benchmarks.py",
    "test_docs.py",
    "text/*",
    "tsne/*",
)
COMPILERS = ("compiled", "compiled_in_order")  # decorators of textmetric.parallel
FOLDER = Path(tempfile.gettempdir()) / f"textmetric-mutants-{os.getuid()}"

# test file → test → (seconds, "module:line" of all lines that it executes)
Record = dict[str, dict[str, tuple[float, frozenset[str]]]]


def record(modules: list[str]) -> Record:
    """Trace the tests that changed since the last call, or whose modules did."""
    FOLDER.mkdir(exist_ok=True)
    now = {module: _hash([ROOT / "textmetric" / module]) for module in modules}
    others = {file for file in ROOT.glob("tests/**/*.py") if file.parent.name != "mutants"}
    helpers = _hash(sorted(others - set(ROOT.glob("tests/**/test_*.py"))))
    found: Record = {}
    for file in sorted(ROOT.glob("tests/**/test_*.py")):
        below = file.relative_to(ROOT / "tests")
        if any(below.match(pattern) for pattern in LEFT_OUT):
            continue
        kept = FOLDER / f"{str(below).replace('/', '.')}-{_hash([file])}-{helpers}.json"
        tests = _read(kept, now)
        if tests is None:
            print(f"trace {below}", file=sys.stderr, flush=True)
            if in_a_fork(partial(_trace, file, kept, now)) != 0:
                raise SystemExit(f"{below} fails, or takes too long, without a mutant")
            tests = _read(kept, now)
        found[str(below)] = tests or {}
    return found


def _read(kept: Path, now: dict[str, str]) -> dict[str, tuple[float, frozenset[str]]] | None:
    """What :func:`_trace` wrote; None if there is none, or a module has changed since."""
    if not kept.exists():
        return None
    content = json.loads(kept.read_text())
    tests = {
        test: (seconds, frozenset(lines)) for test, (seconds, lines) in content["tests"].items()
    }
    executed = {line.rpartition(":")[0] for _, lines in tests.values() for line in lines}
    if any(now.get(module) != content["modules"][module] for module in executed):
        return None
    return tests


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _trace(file: Path, kept: Path, modules: dict[str, str]) -> int:
    plugin = Trace()
    sys.addaudithook(plugin.audit)
    builtins.executed = plugin.executed  # type: ignore[attr-defined]
    for module in modules:
        sys.meta_path.insert(0, imported_from(module, _with_notes(module)))
    code = run_pytest([str(file)], plugin)
    if code in (0, 5):
        kept.write_text(json.dumps({"modules": modules, "tests": plugin.result()}))
        return 0
    return code


def _with_notes(module: str) -> CodeType:
    """The code of a module in which each statement of a function first notes its line."""
    tree = tree_of(module)
    kernels = compiled_functions(tree)

    def note(body: list[ast.stmt]) -> list[ast.stmt]:
        noted: list[ast.stmt] = []
        for statement in body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                noted.append(statement)  # a docstring must come first
                continue
            call = f"executed({module + ':' + str(statement.lineno)!r})"
            noted += ast.parse(call).body
            noted.append(statement)
        return noted

    def walk(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.FunctionDef) and node.name in kernels:
            return
        inside = inside or isinstance(node, ast.FunctionDef)
        for child in ast.iter_child_nodes(node):
            walk(child, inside)
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if inside and isinstance(body, list) and body:
                setattr(node, field, note(body))

    walk(tree, False)
    return compile(ast.fix_missing_locations(tree), ROOT / "textmetric" / module, "exec")


class Trace:
    """A plugin of pytest that notes the lines of each test, and its seconds.

    Lines of fixtures that several tests share count for all tests of the file.
    """

    def __init__(self) -> None:
        self.shared: set[str] = set()
        self.lines = self.shared
        self.tests: dict[str, tuple[float, set[str]]] = {}
        self.starts_programs = False

    def audit(self, event: str, _: Any) -> None:
        if event == "subprocess.Popen":
            self.starts_programs = True

    def executed(self, line: str) -> None:
        self.lines.add(line)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        self.lines, self.starts_programs = set(), False
        start = time.process_time()
        result = yield
        if not self.starts_programs:
            self.tests[item.nodeid] = time.process_time() - start, self.lines
        self.lines = self.shared
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[Any]:
        before = self.lines
        if fixturedef.scope != "function":
            self.lines = self.shared
        result = yield
        self.lines = before
        return result

    def result(self) -> dict[str, tuple[float, list[str]]]:
        return {
            test: (round(seconds, 3), sorted(lines | self.shared))
            for test, (seconds, lines) in self.tests.items()
        }


def compiled_functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions that numba compiles, by name."""
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator) in COMPILERS for decorator in node.decorator_list)
    }
