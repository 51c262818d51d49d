from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants import changes
from tests.mutants.__main__ import chosen

SOURCE = '''
"""Not a place: text."""
LEVEL = 0.95

def first(rows: list[int], limit: int = 3, *, seed: int) -> int:
    """Nor this: 1 < 2."""
    total = 0
    for row in rows[1:]:
        if row < limit and not row:
            raise ValueError(f"{row} is above {limit + 1}")
        total += draw(row, seed=seed)
    return max(total, -limit)
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "textmetric").mkdir()
    (tmp_path / "textmetric" / "module.py").write_text(SOURCE)
    monkeypatch.setattr(changes, "ROOT", tmp_path)
    return "module.py"


def test_a_change_is_told_by_its_code(module: str) -> None:
    assert [mutant.change for mutant in changes.mutants(module)] == [
        "LEVEL = {0.95 => 1.9}",
        "{3 => 4}",
        "{3 => 2}",
        "total = {0 => 1}",
        "{rows[1: => list(rows[1:])[:1}]",
        "rows[{1 => }:]",
        "rows[{1 => 2}:]",
        "rows[{1 => 0}:]",
        "row < limit {and (not row) => or not row}",
        "{row < limit and (not row) => not row}",
        "row < {limit and (not row) => limit}",
        "{row < limit and (not row => not (row < limit and (not row)})",
        "row <{ => =} limit and (not row)",
        "row {< => >=} limit and (not row)",
        "row < limit and {(not row) => row}",
        "{raise ValueError(f'{row} is above {limit + 1}') => pass}",
        "{total += draw(row, seed=seed) => pass}",
        "total {+ => -}= draw(row, seed=seed)",
        "total += draw({row, seed=seed => row})",
        "total += draw(row, seed={seed => 0})",
        "return {max => min}(total, -limit)",
        "return max(total, {-limit => limit})",
    ]


def test_each_mutant_differs_from_the_code_in_one_place(module: str) -> None:
    plain = ast.dump(changes.tree_of(module))
    found = set()
    for mutant in changes.mutants(module):
        tree = changes.mutated(mutant)
        compile(tree, module, "exec")
        found.add(ast.dump(tree))
    assert plain not in found
    assert len(found) == len(changes.mutants(module))


def test_a_sample_gives_each_module_its_share_and_depends_on_the_seed() -> None:
    places = {
        name: [changes.Mutant(name, place, 1, 1, "", "", "") for place in range(size)]
        for name, size in (("a", 300), ("b", 100))
    }
    sample = chosen(places, 40, seed=0)
    assert [mutant.module for mutant in sample].count("a") == 30
    assert len({(mutant.module, mutant.number) for mutant in sample}) == 40
    assert sample == chosen(places, 40, seed=0) != chosen(places, 40, seed=1)
    assert len(chosen(places, 0, seed=0)) == 400
