"""dvc.yaml says what each stage uses: held here to what its code really imports and reads."""

from __future__ import annotations

import ast
import collections
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.fingerprint import ITSELF, imported_by_name
from textmetric.grid import INPUTS, Family
from textmetric.losses import OBJECTIVES
from textmetric.params import Pretrain, read
from textmetric.pipeline.stage_code import code_of, commands_of
from textmetric.yaml12 import read_yaml

ROOT = Path(__file__).parents[2]
COMMANDS = commands_of(ROOT / "dvc.yaml")
MODULES = sorted({words[0].removeprefix("stages.") for words in COMMANDS.values()})


@functools.cache
def stages() -> dict[str, Any]:
    """Every stage as DVC resolves it, by name."""
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo:
        return {stage.addressing: stage for stage in repo.index.stages}


def name_of(stage: Any) -> str:
    """The stage's name in dvc.yaml, the same for all items of a foreach."""
    name: str = stage.addressing.partition("@")[0]
    return name


def params_read(words: list[str]) -> set[str]:
    """The keys ``params.a.b`` that a stage's own file reads, such as ``data.limit``."""
    tree = ast.parse(ROOT.joinpath(*words[0].split(".")).with_suffix(".py").read_text("utf-8"))
    family = words[words.index("--family") + 1] if "--family" in words else None
    sections = {f.section for f in Family if family in (None, f.short)}
    methods = {"arms_of": {"arms"}, "entries": {"splits"}, "objective": sections}
    keys: set[str] = set()
    for node in ast.walk(tree):
        chain: list[str] = []
        inner: ast.expr | None = node if isinstance(node, ast.Attribute) else None
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner.attr)
            inner = inner.value
        if chain and isinstance(inner, ast.Name) and inner.id == "params":
            keys |= methods.get(chain[0], {".".join(chain)})
    # params.data.limit holds params.data as a node of its own
    return {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}


def params_declared(stage: Any) -> set[str]:
    return {
        key
        for dependency in stage.deps
        if dependency.__class__.__name__ == "ParamsDependency"
        for key in dependency.params
    }


def test_the_number_of_stages_does_not_depend_on_the_splits() -> None:
    # the cost of DVC grows faster than their number
    assert len(stages()) <= 40
    assert "${splits" not in (ROOT / "dvc.yaml").read_text(encoding="utf-8")


def test_the_lock_holds_the_stages_of_the_pipeline_and_no_others() -> None:
    # DVC never removes a stage from the lock, and reads and writes all of them after every stage.
    locked = read_yaml(ROOT / "dvc.lock", "")["stages"]
    assert set(locked) == set(stages())


def test_no_two_stages_write_the_same_place() -> None:
    outs = [Path(out.fs_path) for stage in stages().values() for out in stage.outs]
    assert [out for out, times in collections.Counter(outs).items() if times > 1] == []
    for out in outs:
        assert not set(out.parents) & set(outs), f"{out} lies inside another stage's output"


def test_every_stage_depends_on_the_fingerprint_of_its_own_code() -> None:
    for stage in stages().values():
        found = {
            Path(dep.fs_path).relative_to(ROOT).as_posix()
            for dep in stage.deps
            if "data/code" in dep.fs_path
        }
        name = name_of(stage)
        assert found == (set() if name == ITSELF else {f"data/code/{name}.json"}), name
    assert {name_of(stage) for stage in stages().values()} == set(COMMANDS)


def test_fingerprints_are_written_again_when_any_code_changes() -> None:
    deps = {Path(dep.fs_path).relative_to(ROOT).as_posix() for dep in stages()[ITSELF].deps}
    assert {"stages", "textmetric"} <= deps


IMPORTED = """
import importlib, os, sys
import numba, pandas, sklearn, torch  # once for all stages
for name in sys.argv[1:]:
    if not os.fork():
        importlib.import_module(f"stages.{name}")
        ours = [m.__file__ for n, m in sys.modules.items()
                if n.split(".")[0] in ("textmetric", "stages") and "." in n]
        print(name, *ours, flush=True)
        os._exit(0)
    if os.wait()[1]:
        sys.exit(1)
"""


def test_every_module_that_a_stage_really_imports_is_in_its_fingerprint() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", IMPORTED, *MODULES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [line.split(" ") for line in finished.stdout.splitlines()]
    assert [name for name, *_ in found] == list(MODULES)
    for name, *files in found:
        imported = {Path(file).relative_to(ROOT).as_posix() for file in files}
        assert len(imported) > 3
        assert imported <= set(code_of([f"stages.{name}"], ROOT)), name


def test_a_training_depends_on_its_own_objective_and_on_no_other() -> None:
    params = read(ROOT / "params.yaml")
    for family in Family:
        name = params.objective(family)["name"]
        words = COMMANDS[f"train_{family.short}"]
        code = code_of([words[0], *imported_by_name(words, params)], ROOT)
        files = {n: f"textmetric/losses/{place.split('.')[0]}.py"
                 for n, place in OBJECTIVES[family].items()}  # fmt: skip
        assert {n for n, file in files.items() if file in code} == {name}


def test_a_training_depends_on_the_objective_of_its_pretraining() -> None:
    params = read(ROOT / "params.yaml")
    for name in ("inverse_cloze", "invariant_spreading"):
        given = params.model_copy(update={"pretrain": Pretrain(objective=name)})
        for family in Family:
            words = COMMANDS[f"train_{family.short}"]
            modules = imported_by_name(words, given)
            assert f"textmetric.losses.{name}" in modules
            assert modules[0] in imported_by_name(words, params)
            assert f"textmetric.losses.{name}" not in imported_by_name(words, params)


@pytest.mark.parametrize("name", sorted(stages()))
def test_parameters_that_a_stage_reads_are_declared_and_no_others(name: str) -> None:
    stage = stages()[name]
    declared = params_declared(stage)
    read = params_read(COMMANDS[name_of(stage)])

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
        if name.endswith(("@cls", "cls@target", "cls@source")):
            assert not any(key.split(".")[0] == "loss" for key in params_declared(stage))
            assert not any("objectives" in dep.def_path for dep in stage.deps)
            assert not any("metric" in dep.def_path for dep in stage.deps)


def test_what_reads_files_of_the_user_depends_on_their_folder() -> None:
    readers = {
        name
        for name, stage in stages().items()
        for dep in stage.deps
        if Path(dep.fs_path) == ROOT / INPUTS
    }
    assert readers == {"download", "encode", "vectors"}


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
        # that DVC has started a stage decides how it ends, and not what it writes
        text = text.replace('os.getenv("DVC_STAGE")', "")
        # where jobs run does not change what they write either
        text = re.sub(
            r"os\.environ(\.get\(|\[)(parallel\.)?(CLUSTER|MIXED|STORE|CACHE)\b", "", text
        )
        if file.parent.name == "cluster":
            text = text.replace('os.environ.get("XDG_CACHE_HOME")', "")
        assert "os.environ" not in text
        assert "getenv" not in text
        if "stages" in file.parts:
            assert "glob" not in text
