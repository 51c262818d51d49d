"""dvc.yaml says what each stage uses: held here to what its code really imports and reads."""

from __future__ import annotations

import ast
import collections
import functools
import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Only a docstring and a lazy import stand in these; the objectives are tracked by the hashes
# in data/objectives/, which the trainings depend on.
NOT_TRACKED = {"textmetric/__init__.py", "stages/__init__.py"}


@functools.cache
def stages() -> dict[str, Any]:
    """Every stage as DVC resolves it, by name."""
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo:
        return {stage.addressing: stage for stage in repo.index.stages}


def module_of(stage: Any) -> str:
    words = shlex.split(stage.cmd)
    assert words[:2] == ["python", "-m"]
    return words[2]


def file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return file.relative_to(ROOT)
    return None


@functools.cache
def imports(module: str) -> frozenset[str]:
    """The modules of this repository that ``module`` imports itself, wherever in its code."""
    file = file_of(module)
    assert file is not None
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {
            name
            for name in names
            if name.split(".")[0] in ("textmetric", "stages") and file_of(name)
        }
    # importing a.b.c runs a/__init__.py and a/b/__init__.py too
    parents = {name.rsplit(".", depth)[0] for name in found for depth in range(name.count(".") + 1)}
    return frozenset(found | parents)


def files_used(module: str) -> set[str]:
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and str(file_of(name)) not in NOT_TRACKED:
            seen.add(name)
            waiting += imports(name)
    return {str(file_of(name)) for name in seen}


def params_read(module: str) -> set[str]:
    """The keys ``params.a.b`` that a stage's own file reads, such as ``data.limit``."""
    file = file_of(module)
    assert file is not None
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    keys = set()
    for node in ast.walk(tree):
        chain: list[str] = []
        inner: ast.expr | None = node if isinstance(node, ast.Attribute) else None
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner.attr)
            inner = inner.value
        if chain and isinstance(inner, ast.Name) and inner.id == "params":
            keys.add(".".join({"split": ["splits"]}.get(chain[0], chain)))
    # params.data.limit holds params.data as a node of its own
    return {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}


def params_declared(stage: Any) -> set[str]:
    return {
        key
        for dependency in stage.deps
        if dependency.__class__.__name__ == "ParamsDependency"
        for key in dependency.params
    }


def test_there_are_at_most_100_stages() -> None:
    assert 50 < len(stages()) <= 100


def test_no_two_stages_write_the_same_place() -> None:
    outs = [Path(out.fs_path) for stage in stages().values() for out in stage.outs]
    assert [out for out, times in collections.Counter(outs).items() if times > 1] == []
    for out in outs:
        assert not set(out.parents) & set(outs), f"{out} lies inside another stage's output"


@pytest.mark.parametrize("name", sorted(stages()))
def test_code_that_a_stage_imports_is_among_its_dependencies(name: str) -> None:
    stage = stages()[name]
    declared = [Path(dep.fs_path).relative_to(ROOT) for dep in stage.deps]
    missing = {
        file
        for file in files_used(module_of(stage))
        if not any(place == Path(file) or place in Path(file).parents for place in declared)
    }
    objectives = {file for file in missing if file.startswith("textmetric/losses/")}
    if "data/objectives" in {str(place.parent) for place in declared}:
        missing -= objectives
    assert missing == set()


@pytest.mark.parametrize("name", sorted(stages()))
def test_code_among_the_dependencies_is_imported(name: str) -> None:
    stage = stages()[name]
    used = [Path(file) for file in files_used(module_of(stage))]
    idle = [
        place
        for place in (Path(dep.fs_path).relative_to(ROOT) for dep in stage.deps)
        if place.parts[0] in ("textmetric", "stages")
        and not any(file == place or place in file.parents for file in used)
    ]
    assert idle == []


@pytest.mark.parametrize("name", sorted(stages()))
def test_parameters_that_a_stage_reads_are_declared_and_no_others(name: str) -> None:
    stage = stages()[name]
    declared, read = params_declared(stage), params_read(module_of(stage))

    def covers(wide: str, narrow: str) -> bool:
        return narrow == wide or narrow.startswith(f"{wide}.")

    undeclared = {
        key
        for key in read
        if not any(
            covers(known, key) or covers(key.removesuffix(".of"), known) for known in declared
        )
    }
    unread = {
        known
        for known in declared
        if not any(covers(known, key) or covers(key.removesuffix(".of"), known) for key in read)
    }
    assert (undeclared, unread) == (set(), set())


def test_a_changed_loss_runs_no_classification_again() -> None:
    for name, stage in stages().items():
        if name.startswith("train_cls"):
            assert not any(key.split(".")[0] == "loss" for key in params_declared(stage))
            assert "data/objectives/metric.json" not in {dep.def_path for dep in stage.deps}


def test_nothing_but_the_cost_table_depends_on_costs() -> None:
    readers = {
        name
        for name, stage in stages().items()
        for dep in stage.deps
        if "costs" in Path(dep.fs_path).relative_to(ROOT).parts[:2]
        and not dep.fs_path.endswith(".py")
    }
    assert readers <= {"costs"}


def test_nothing_is_read_from_the_environment_or_found_by_globbing() -> None:
    for file in [*ROOT.glob("stages/*.py"), *ROOT.glob("textmetric/**/*.py")]:
        text = file.read_text(encoding="utf-8")
        assert "os.environ" not in text
        if "stages" in file.parts:
            assert "glob" not in text
