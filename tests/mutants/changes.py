"""Every small change of the code of a module: its mutants."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parents[2]

ORDER = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
}
OTHER = {
    "all": "any",
    "amax": "amin",
    "argmax": "argmin",
    "ceil": "floor",
    "clamp_max": "clamp_min",
    "cos": "sin",
    "exp": "log",
    "max": "min",
    "maximum": "minimum",
    "mean": "sum",
    "ones": "zeros",
    "ones_like": "zeros_like",
    "tril": "triu",
}
OTHER |= {new: old for old, new in OTHER.items()}
PARTS = {"test": "train", "train": "validation", "validation": "test"}
WORDS = PARTS | {"balanced": "shuffled", "shuffled": "balanced"}
DRAWS = ("choice", "integers", "permutation", "permuted", "random", "standard_normal", "uniform")
# Calls of one argument, and methods without any, that a program survives without.
MAY_BE_LEFT_OUT = {
    *("abs", "sqrt", "square", "exp", "log", "log1p", "tanh", "relu", "sigmoid", "unit", "sorted"),
    *("round", "sort", "unique", "cumsum", "argsort", "floor", "ceil", "clamp", "clamp_min"),
    *("clamp_max", "clip", "masked_fill", "arange", "deg2rad", "radians", "normalize", "detach"),
    *("nan_to_num", "eval", "zero_grad"),
}
PLAIN_KEYWORDS = {
    *("strict", "label", "unit", "progress", "dtype", "paper", "description", "tick", "ticks"),
    *("device", "copy", "workers", "exist_ok", "names", "section", "encoding", "kw_only"),
}


@dataclass(frozen=True)
class Mutant:
    """One change of one place.

    Attributes:
        module: path below ``textmetric``.
        number: place in the list of all changes of this module.
        line: of the place.
        statement: line of the innermost statement that holds the place.
        function: that holds the place, "" at the top of the module.
        kind: of change.
        change: the code before and after: ``total = left {+ => -} right``.
    """

    module: str
    number: int
    line: int
    statement: int
    function: str
    kind: str
    change: str

    @property
    def name(self) -> str:
        """The mutant in words that stay the same if other lines move."""
        return f"{self.module} | {self.function} | {self.change}"


def mutants(module: str) -> list[Mutant]:
    """All mutants of a module."""
    found = []
    for number, change in enumerate(_changes(tree_of(module))):
        text = change.text()
        if text:
            found.append(
                Mutant(
                    module,
                    number,
                    change.line,
                    change.statement,
                    change.function,
                    change.kind,
                    text,
                )
            )
    return found


def code_of(mutant: Mutant) -> CodeType:
    """The code of the mutated module."""
    return compile(mutated(mutant), _path(mutant.module), "exec")


def mutated(mutant: Mutant) -> ast.Module:
    """The syntax tree of the mutated module."""
    tree = tree_of(mutant.module)
    _changes(tree)[mutant.number].do()
    return ast.fix_missing_locations(tree)


def tree_of(module: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(_path(module).read_text())


def _path(module: str) -> Path:
    return ROOT / "textmetric" / module


@dataclass
class _Change:
    """A change of a tree: the node at a place is replaced, or left out.

    Attributes:
        holder: the node with the place.
        field: its attribute.
        place: in the attribute, if that is a list.
        new: node; None leaves out an element of a list.
        around: the statement, or the head of a compound statement, that holds the place.
        function: as in :class:`Mutant`; so are ``kind``, ``line`` and ``statement``.
    """

    holder: ast.AST
    field: str
    place: int | None
    new: ast.AST | None
    around: ast.AST
    function: str
    kind: str
    line: int
    statement: int

    def do(self) -> None:
        if self.place is None:
            setattr(self.holder, self.field, self.new)
        else:
            here = slice(self.place, self.place + 1)
            getattr(self.holder, self.field)[here] = [] if self.new is None else [self.new]

    def text(self) -> str:
        """See ``Mutant.change``; empty if the code stays the same."""
        values = getattr(self.holder, self.field)
        kept = values if self.place is None else [*values]
        before = ast.unparse(self.around)
        self.do()
        if values is self.around:
            around = getattr(self.holder, self.field)
        elif self.place is not None and kept[self.place] is self.around:
            around = values[self.place]
        else:
            around = self.around
        after = ast.unparse(ast.fix_missing_locations(around))
        if self.place is None:
            setattr(self.holder, self.field, kept)
        else:
            values[:] = kept
        return _difference(" ".join(before.split()), " ".join(after.split()))


def _difference(before: str, after: str) -> str:
    if before == after:
        return ""
    start = end = 0
    while before[: start + 1] == after[: start + 1]:
        start += 1
    while before[start:][-end - 1 :] == after[start:][-end - 1 :]:
        end += 1
    # whole words
    while start and (before[start - 1].isalnum() or before[start - 1] == "_"):
        start -= 1
    while end and (before[-end].isalnum() or before[-end] == "_"):
        end -= 1
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    middle = f"{{{old} => {new}}}" if len(old) < 70 else f"{{{old[:50]} … => {new}}}"
    return before[max(0, start - 40) : start] + middle + before[len(before) - end :][:30]


def _changes(tree: ast.Module) -> list[_Change]:
    found: list[_Change] = []

    def walk(
        node: ast.AST, function: str, known: set[str], around: ast.AST | None, start: int
    ) -> None:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            function = f"{function}.{node.name}".lstrip(".")
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            known = {argument.arg for argument in arguments}
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "bases", "ctx", "op", "ops"):
                continue
            for number, child in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(child, ast.AST) or _no_place(child):
                    continue
                if isinstance(child, ast.keyword) and child.arg in PLAIN_KEYWORDS:
                    continue
                place = number if isinstance(value, list) else None
                simple = isinstance(child, ast.stmt) and not hasattr(child, "body")
                first = child.lineno if isinstance(child, ast.stmt) else start
                here = around or (child if simple or isinstance(child, ast.expr) else None)
                for kind, new in _replacements(child, node, field, function, known):
                    line = getattr(child, "lineno", 0)
                    found.append(
                        _Change(
                            *(node, field, place, new, here or child, function, kind, line, first)
                        )
                    )
                if not isinstance(child, ast.Raise):  # a message
                    walk(child, function, known, here, first)
                if isinstance(child, (ast.Assign, ast.For)):
                    targets = child.targets if isinstance(child, ast.Assign) else [child.target]
                    known |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}

    walk(tree, "", set(), None, 0)
    return found


def _replacements(
    node: ast.AST, parent: ast.AST, field: str, function: str, known: set[str]
) -> Iterator[tuple[str, ast.AST | None]]:
    """The kinds of changes of a node, each with the new node."""
    if isinstance(node, ast.stmt):
        yield from _of_statement(node, function, known)
    elif isinstance(node, ast.expr):
        yield from _of_expression(node, parent, field)
    elif isinstance(node, ast.keyword) and isinstance(parent, ast.Call):
        plain = node.arg is None or _is_a_field(parent)
        if not plain and not ast.unparse(parent).startswith("super()"):
            yield "argument left out", None


def _is_a_field(node: ast.Call) -> bool:
    return _called(node) in ("parameter", "Field", "field", "Phase")


def _no_place(node: ast.AST) -> bool:
    """Docstrings, messages, asserts, imports, types, progress."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert, ast.JoinedStr, ast.Global)):
        return True
    if isinstance(node, ast.Expr):
        inner = node.value
        return isinstance(inner, (ast.Constant, ast.Yield)) or (
            isinstance(inner, ast.Call)
            and (_called(inner) == "tick" or ast.unparse(inner).startswith("super()"))
        )
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        typed = isinstance(node.value, ast.Subscript) and ast.unparse(node.value).startswith(
            ("Literal[", "Callable[", "npt.")
        )
        return typed or (isinstance(target, ast.Name) and target.id in ("__all__", "progress"))
    if isinstance(node, ast.Subscript):
        return ast.unparse(node.value) in ("Literal", "list", "dict", "npt.NDArray", "Callable")
    return False


def _called(node: ast.Call) -> str:
    function = node.func
    return (
        function.attr
        if isinstance(function, ast.Attribute)
        else function.id
        if isinstance(function, ast.Name)
        else ""
    )


def _of_statement(node: ast.stmt, function: str, known: set[str]) -> Iterator[tuple[str, ast.stmt]]:
    if ast.unparse(node) == "raise NotImplementedError":
        return
    if isinstance(node, (ast.Expr, ast.AugAssign, ast.Raise)):
        yield "statement left out", ast.Pass()
    if isinstance(node, ast.Assign):
        names = {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        indexed = any(isinstance(t, (ast.Subscript, ast.Attribute)) for t in node.targets)
        # without the assignment of a new name the program only fails
        if (indexed and not function.endswith("__init__")) or (names and names <= known):
            yield "statement left out", ast.Pass()
    if isinstance(node, ast.Break):
        yield "break", ast.Continue()
    if isinstance(node, ast.Continue):
        yield "continue", ast.Pass()
    if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        new = copy.copy(node)
        new.op = ARITHMETIC[type(node.op)]()
        yield "arithmetic", new
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        first, second, *rest = node.value.elts
        yield "order", ast.Return(ast.Tuple([second, first, *rest], ast.Load()))


def _of_expression(node: ast.expr, parent: ast.AST, field: str) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Compare):
        for place, op in enumerate(node.ops):
            for other in ORDER[type(op)]:
                new = copy.copy(node)
                new.ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield "comparison", new
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _is_text(node):
        new_op = copy.copy(node)
        new_op.op = ARITHMETIC[type(node.op)]()
        yield "arithmetic", new_op
        yield "operand left out", node.left
        if isinstance(node.op, (ast.Add, ast.Mult)):
            yield "operand left out", node.right
    if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd):
        yield "sign or not left out", node.operand
    if isinstance(node, ast.BoolOp):
        new_bool = copy.copy(node)
        new_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and, or", new_bool
        for place in range(len(node.values)):
            left = [*node.values[:place], *node.values[place + 1 :]]
            yield "condition left out", left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
    if isinstance(node, ast.Constant):
        yield from _of_constant(node)
    branch = field == "test" and isinstance(parent, (ast.If, ast.While, ast.IfExp))
    if branch and not isinstance(node, (ast.Compare, ast.UnaryOp)):
        yield "condition", ast.UnaryOp(ast.Not(), node)
    if field == "ifs":
        yield "condition left out", ast.Constant(True)
    if field == "iter" and not (isinstance(node, ast.Call) and _called(node) == "range"):
        only = ast.Call(ast.Name("list", ast.Load()), [node], [])
        yield (
            "only the first",
            ast.Subscript(only, ast.Slice(None, ast.Constant(1), None), ast.Load()),
        )
    if isinstance(node, ast.Slice):
        if node.lower is not None:
            yield "slice", ast.Slice(None, node.upper, node.step)
        if node.upper is not None:
            yield "slice", ast.Slice(node.lower, None, node.step)
    if isinstance(node, (ast.Name, ast.Attribute)) and field in ("args", "value", "elts"):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name == "seed":
            yield "seed", ast.Constant(0)
    if isinstance(node, ast.Attribute) and node.attr in PARTS and field != "func":
        yield "other part", ast.Attribute(node.value, PARTS[node.attr], ast.Load())
    if isinstance(node, ast.Call):
        yield from _of_call(node, parent)


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _of_constant(node: ast.Constant) -> Iterator[tuple[str, ast.expr]]:
    value = node.value
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, str) and value in WORDS:
        yield "other word", ast.Constant(WORDS[value])
    elif isinstance(value, int):
        yield "constant", ast.Constant(value + 1)
        if value > 0:
            yield "constant", ast.Constant(value - 1)
    elif isinstance(value, float):
        yield "constant", ast.Constant(2 * value if value else 1.0)


def _of_call(node: ast.Call, parent: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    name, args, function = _called(node), node.args, node.func
    if _is_a_field(node):
        return
    if name in OTHER:
        yield "other function", _renamed(node, OTHER[name])
    starred = any(isinstance(argument, ast.Starred) for argument in args)
    symmetric = name in ("max", "min", "maximum", "minimum", "isinstance", "getattr", "cast")
    if len(args) >= 2 and not starred and not symmetric and _alike(args[0], args[1]):
        swapped = copy.copy(node)
        swapped.args = [args[1], args[0], *args[2:]]
        yield "order", swapped
    if name in MAY_BE_LEFT_OUT:
        if len(args) == 1 and (isinstance(function, ast.Name) or _of_library(function)):
            yield "call left out", args[0]
        elif isinstance(function, ast.Attribute) and not _of_library(function):
            yield "call left out", function.value
    if name in DRAWS and isinstance(function, ast.Attribute) and not _of_library(function):
        fresh = ast.parse("np.random.default_rng(0)", mode="eval").body
        yield "same draw", ast.Call(ast.Attribute(fresh, name, ast.Load()), args, node.keywords)
        if name in ("choice", "permutation"):
            ordered = ast.parse("np.sort(x)", mode="eval").body
            assert isinstance(ordered, ast.Call)
            ordered.args = [node]
            yield "order", ordered


def _alike(one: ast.expr, other: ast.expr) -> bool:
    """Whether two arguments may have the same type."""
    names = (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp, ast.Call, ast.UnaryOp)
    return type(one) is type(other) or (isinstance(one, names) and isinstance(other, names))


def _of_library(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and ast.unparse(function.value) in (
        *("np", "torch", "math", "functional", "torch.nn.functional", "torch.special"),
    )


def _renamed(node: ast.Call, name: str) -> ast.Call:
    new = copy.copy(node)
    if isinstance(node.func, ast.Attribute):
        new.func = ast.Attribute(node.func.value, name, ast.Load())
    else:
        new.func = ast.Name(name, ast.Load())
    return new
