"""Change one place of the code at a time, and see whether a test fails: ``make mutants``.

A mutant is the program with one small change: ``<`` for ``<=``, a seed of 0, a statement left out.
If no test fails on it, the tests say nothing about that place. The mutants of a run are a sample,
spread over the modules in proportion to their places; a seed chooses it.

A mutant takes seconds, because its process is forked from one that has torch and numba imported,
and runs only the tests that execute the changed line. These tests are found by a trace of every
test, again after a change of the modules or of a test file. A compiled function cannot be traced:
its tests are those that execute a line which names a function of its module. Tests that start
programs are left out, since another program does not see the mutant.

``tests/mutants/survivors.txt`` lists survivors that no test can or should kill, and why.
"""

from __future__ import annotations

import argparse
import ast
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from fnmatch import fnmatch
from pathlib import Path

from tests.mutants.changes import ROOT, Mutant, code_of, mutants, tree_of
from tests.mutants.processes import (
    Chosen,
    compile_again,
    dotted,
    imported_from,
    prepare,
    run_pytest,
    start,
    stop_group,
    wait,
)
from tests.mutants.record import Record, compiled_functions, record

MODULES = (
    "losses/*.py",
    "measures/**/*.py",
    "pipeline/embed_models.py",
    "pipeline/finetune_seeds.py",
    "pipeline/measure_arms.py",
    "pipeline/train_arms.py",
    "report/findings/*.py",
    "report/verdicts.py",
    "sampling/*.py",
    "splits.py",
    "training/*.py",
)
# Tests that read what these modules declare, and execute none of their lines.
DECLARED = {"losses/": ("losses/test_page.py", "losses/test_every_objective.py")}
EXPLAINED = Path(__file__).parent / "survivors.txt"
OPEN = "no reason in survivors.txt"
LEAST = 0.92  # of the mutants that a test should kill
BUDGET = 30.0  # seconds of the tests of a mutant; the slowest are left out beyond it
SECONDS = 30  # of a processor, that a mutant may use besides those that its tests need


def main() -> int:
    """Run the mutants of a sample, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=400, help="mutants; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="chooses the sample")
    parser.add_argument("--only", default="*", help="modules, such as 'losses/*'")
    parser.add_argument("--without", nargs="*", default=[], help="modules to leave out")
    parser.add_argument("--list", action="store_true", help="list the sample and stop")
    given = parser.parse_args()

    everything = sorted(
        {
            str(file.relative_to(ROOT / "textmetric"))
            for pattern in MODULES
            for file in ROOT.glob(f"textmetric/{pattern}")
        }
    )
    modules = [
        module
        for module in everything
        if fnmatch(module, given.only)
        and not any(fnmatch(module, pattern) for pattern in given.without)
    ]
    places = {module: mutants(module) for module in modules}
    sample = chosen(places, given.sample, given.seed)
    if given.list:
        for mutant in sample:
            print(f"{mutant.module}:{mutant.line} {mutant.kind}: {mutant.change}")
        return 0
    began = time.monotonic()
    prepare()
    tests = Tests(record(everything))
    explained = explanations()
    killed, survived, endless = Counter[str](), defaultdict[str, list[Mutant]](list), 0
    for number, mutant in enumerate(sample, 1):
        outcome, seconds = fate(mutant, tests)
        if outcome == "survived" and mutant.name not in explained:
            print(f"{mutant.name}  (line {mutant.line}, {mutant.kind})", flush=True)
        if outcome == "survived":
            survived[mutant.module].append(mutant)
        else:
            killed[mutant.module] += 1
            endless += outcome == "endless"
        print(
            f"{number}/{len(sample)} {outcome} {seconds:.1f} s {mutant.module}:{mutant.line}",
            file=sys.stderr,
            flush=True,
        )

    print(f"\n{'module':34}{'places':>8}{'mutants':>9}{'killed':>8}{'survived':>10}")
    for module in modules:
        if killed[module] + len(survived[module]):
            count = killed[module] + len(survived[module])
            print(
                f"{module:34}{len(places[module]):8}{count:9}{killed[module]:8}"
                f"{len(survived[module]):10}"
            )
    reasons = Counter(
        explained.get(mutant.name, OPEN) for found in survived.values() for mutant in found
    )
    total, left = killed.total(), reasons[OPEN]
    print(
        f"{'all':34}{sum(map(len, places.values())):8}{len(sample):9}{total:8}"
        f"{len(sample) - total:10}\n"
        f"{100 * total / len(sample):.1f} % killed, {endless} of them without an end; "
        f"{100 * total / max(total + left, 1):.1f} % of those that a test should kill; "
        f"{time.monotonic() - began:.0f} s"
    )
    for reason, count in reasons.most_common():
        print(f"{count:4} survived: {reason}")
    return 0 if total >= LEAST * (total + left) else 1


def chosen(places: dict[str, list[Mutant]], size: int, seed: int) -> list[Mutant]:
    """A sample of the mutants in which each module has its share."""
    draw = random.Random(seed)
    ordered = [mutant for found in places.values() for mutant in draw.sample(found, len(found))]
    if not 0 < size < len(ordered):
        return ordered
    step = len(ordered) / size
    first = step * draw.random()
    return [ordered[int(first + step * place)] for place in range(size)]


def explanations() -> dict[str, str]:
    """The reasons in survivors.txt: ``[reason]`` above the names of the mutants."""
    found, reason = {}, ""
    for line in EXPLAINED.read_text().splitlines() if EXPLAINED.exists() else []:
        if line.startswith("["):
            reason = line.strip("[]")
        elif line:
            found[line] = reason
    return found


class Tests:
    """Finds the tests of a mutant."""

    def __init__(self, found: Record) -> None:
        self.record = found
        self.texts = {file: (ROOT / "tests" / file).read_text() for file in found}

    def of(self, mutant: Mutant) -> dict[str, list[str]]:
        """Its tests by file: the file named like the module, then those of its folder, then others.

        The quickest come first.
        """
        lines = self._lines(mutant)
        path = Path(mutant.module)
        stem = path.stem.removesuffix("_kernel")
        tree = tree_of(mutant.module)
        compiled = len(compiled_functions(tree)) > 0
        inside = any(
            isinstance(node, ast.FunctionDef) and node.lineno <= mutant.line <= node.end_lineno
            for node in ast.walk(tree)
            if getattr(node, "end_lineno", None)
        )
        declared = () if inside else DECLARED.get(f"{path.parent}/", ())
        found, cost = {}, {}
        for file, tests in self.record.items():
            every = (compiled and path.stem in self.texts[file]) or file in declared
            hit = {
                t: s for t, (s, covered) in tests.items() if every or not lines.isdisjoint(covered)
            }
            if hit:
                found[file] = sorted(hit, key=lambda test: hit[test])
                near = Path(file).parent == path.parent
                cost[file] = (Path(file).stem != f"test_{stem}", not near, sum(hit.values()))
        self.seconds, plan = 0.0, {}
        for file in sorted(found, key=lambda file: cost[file]):
            for test in found[file]:
                seconds = self.record[file][test][0]
                if self.seconds + seconds <= BUDGET:
                    self.seconds += seconds
                    plan.setdefault(file, []).append(test)
        return plan

    def _lines(self, mutant: Mutant) -> set[str]:
        tree = tree_of(mutant.module)
        kernels = compiled_functions(tree)
        if mutant.function in kernels or (kernels and not mutant.function):
            return self._lines_that_name(Path(mutant.module).stem, set(kernels))
        line = {f"{mutant.module}:{mutant.statement}"}
        if any(not line.isdisjoint(covered) for _, covered in self._all()):
            return line
        # A statement of the module itself, or a default: all that use the function, or the module.
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and mutant.function.endswith(node.name):
                body = range(node.body[0].lineno, (node.end_lineno or 0) + 1)
                if node.lineno <= mutant.line < body.stop:
                    return {f"{mutant.module}:{place}" for place in body}
        end = len((ROOT / "textmetric" / mutant.module).read_text().splitlines())
        return {f"{mutant.module}:{place}" for place in range(1, end + 1)}

    def _all(self) -> list[tuple[float, frozenset[str]]]:
        return [test for tests in self.record.values() for test in tests.values()]

    def _lines_that_name(self, stem: str, functions: set[str]) -> set[str]:
        """Lines of the other modules that name a function of this compiled module."""
        found = set()
        for module in {line.rpartition(":")[0] for _, covered in self._all() for line in covered}:
            tree = tree_of(module)
            if stem not in ast.unparse(tree):
                continue
            for node in ast.walk(tree):
                name = (
                    node.attr
                    if isinstance(node, ast.Attribute)
                    else node.id
                    if isinstance(node, ast.Name)
                    else ""
                )
                if name in functions:
                    found.add(f"{module}:{node.lineno}")  # type: ignore[attr-defined]
        return found


def fate(mutant: Mutant, tests: Tests) -> tuple[str, float]:
    """``killed``, ``endless`` or ``survived``, and the seconds that this took."""
    plan = tests.of(mutant)
    began = time.monotonic()
    if not plan:
        return "survived", 0.0

    def work() -> int:
        sys.meta_path.insert(0, imported_from(mutant.module, code_of(mutant)))
        compile_again(dotted(mutant.module), stale(mutant))
        for file, chosen_tests in plan.items():
            code = run_pytest([str(ROOT / "tests" / file)], Chosen(chosen_tests))
            if code not in (0, 5):
                return 1
        return 0

    with tempfile.NamedTemporaryFile() as log:
        allowed = SECONDS + round(3 * tests.seconds)
        child = start(work, Path(log.name), allowed)
        try:
            code = wait(child, began + 10 * allowed)
        except BaseException:
            stop_group(child)
            raise
    endless = code is None or code == -signal.SIGXCPU
    outcome = "endless" if endless else "killed" if code else "survived"
    return outcome, time.monotonic() - began


def stale(mutant: Mutant) -> list[str]:
    """The compiled functions that hold the change, or call one that does."""
    functions = compiled_functions(tree_of(mutant.module))
    changed = {mutant.function} if mutant.function in functions else set(functions)
    for _ in functions:
        changed |= {
            name
            for name, function in functions.items()
            if any(isinstance(node, ast.Name) and node.id in changed for node in ast.walk(function))
        }
    return sorted(changed)


if __name__ == "__main__":
    sys.exit(main())
