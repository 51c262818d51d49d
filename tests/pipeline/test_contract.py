"""dvc.yaml says what each stage uses: held here to what its code really imports and reads."""

from __future__ import annotations

import ast
import collections
import functools
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.code import STAGES
from textmetric.pipeline.fingerprint import code_of

ROOT = Path(__file__).parents[2]


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


def params_read(module: str) -> set[str]:
    """The keys ``params.a.b`` that a stage's own file reads, such as ``data.limit``."""
    tree = ast.parse(ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8"))
    keys = set()
    for node in ast.walk(tree):
        chain: list[str] = []
        inner: ast.expr | None = node if isinstance(node, ast.Attribute) else None
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner.attr)
            inner = inner.value
        if chain and isinstance(inner, ast.Name) and inner.id == "params":
            keys.add(".".join({"samplers_of": ["arms"]}.get(chain[0], chain)))
    # params.data.limit holds params.data as a node of its own
    return {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}


def params_declared(stage: Any) -> set[str]:
    return {
        key
        for dependency in stage.deps
        if dependency.__class__.__name__ == "ParamsDependency"
        for key in dependency.params
    }


def test_the_number_of_stages_is_small_and_does_not_depend_on_the_splits() -> None:
    # the cost of DVC grows faster than their number
    assert 15 < len(stages()) <= 100
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert "${splits" not in text


def test_the_lock_holds_no_stage_that_is_no_more() -> None:
    # DVC keeps them for ever, and reads and writes them after every stage.
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert set(locked) == set(stages())


def test_no_two_stages_write_the_same_place() -> None:
    outs = [Path(out.fs_path) for stage in stages().values() for out in stage.outs]
    assert [out for out, times in collections.Counter(outs).items() if times > 1] == []
    for out in outs:
        assert not set(out.parents) & set(outs), f"{out} lies inside another stage's output"


def test_every_stage_depends_on_the_record_of_its_own_code() -> None:
    for name, stage in stages().items():
        records = {
            Path(dep.fs_path).relative_to(ROOT).as_posix()
            for dep in stage.deps
            if "data/code" in dep.fs_path
        }
        module = module_of(stage).removeprefix("stages.")
        assert records == (set() if module == "code" else {f"data/code/{module}.json"}), name
    used = {module_of(stage).removeprefix("stages.") for stage in stages().values()}
    assert used == {*STAGES, "code"}


def test_the_record_of_code_is_made_anew_when_any_code_changes() -> None:
    deps = {Path(dep.fs_path).relative_to(ROOT).as_posix() for dep in stages()["code"].deps}
    assert {"stages", "textmetric"} <= deps


@pytest.mark.parametrize("name", STAGES)
def test_every_module_that_a_stage_really_imports_is_in_its_record(name: str) -> None:
    script = (
        f"import sys, stages.{name}\n"
        "print(*(m.__file__ for n, m in sys.modules.items()"
        " if n.split('.')[0] in ('textmetric', 'stages') and '.' in n))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = {Path(file).relative_to(ROOT).as_posix() for file in finished.stdout.split()}
    assert len(imported) > 3
    assert imported <= set(code_of([f"stages.{name}"], ROOT))


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
            assert not any("objectives" in dep.fs_path for dep in stage.deps)


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
