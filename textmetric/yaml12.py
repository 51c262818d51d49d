"""The only reader of YAML: YAML 1.2 by ruamel.yaml, as DVC reads it, in bounded time and memory."""

from __future__ import annotations

import io
import math
import sys
from typing import Any

from textmetric.errors import UserError, cut, needing
from textmetric.files import refuse_special
from textmetric.types import PathLike

LARGEST = 1 << 17
"""Bytes of a file: 30 times those of params.yaml. At worst they take some seconds to read."""
DEEPEST = 50
"""Mappings and lists inside one another."""
MOST = 1 << 17
"""Values, where an alias counts as what it stands for: a few lines of aliases can name billions."""

_INTEGER = "tag:yaml.org,2002:int"
_DIGITS = 1000


def read_yaml(path: PathLike, missing: str) -> Any:
    """Read a YAML file.

    Args:
        path: the file, in UTF-8.
        missing: what to do if there is none, for the message.

    Raises:
        UserError: the file is missing or cannot be read, or as :func:`parse_yaml`.
    """
    try:
        refuse_special(path)
        with open(path, "rb") as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {missing}") from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): check what it is and its permissions"
        ) from None
    try:
        return parse_yaml(content.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}, is not UTF-8: save it as UTF-8") from None


def parse_yaml(text: str, name: str) -> Any:
    """What a YAML document says.

    Args:
        text: the document.
        name: what to call it, for messages.

    Raises:
        UserError: it is no YAML, is too large, or has a key twice, a tag that is no plain value, or
            a second document.
    """
    with needing("YAML", "study"):  # here because it takes as long as the rest of a stage's imports
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError
        from ruamel.yaml.reader import ReaderError

    if len(text) >= LARGEST:
        raise UserError(f"{name} has {LARGEST:,} bytes or more: shorten it")
    reader = YAML(typ="safe", pure=True)
    construct = reader.constructor.construct_document

    def checked(document: Any) -> Any:
        _refuse_bombs(document, name)
        return construct(document)

    reader.constructor.construct_document = checked
    try:
        return reader.load(text)
    except UserError:
        raise
    except RecursionError:
        raise _too_deep(name) from None
    except MarkedYAMLError as error:
        raise _no_yaml(name, error.problem, error.problem_mark.line) from None
    except ReaderError as error:
        problem = f"YAML has no character {chr(error.character)!a}"
        raise _no_yaml(name, problem, text.count("\n", 0, error.position)) from None
    except Exception as error:  # a value that is none, such as the date 2024-99-99
        raise _no_yaml(name, str(error) or type(error).__name__) from None


def _no_yaml(name: str, problem: str, line: int | None = None) -> UserError:
    """The error for a mistake in a line, counted from 0."""
    where = name if line is None else f"{name}, line {line + 1},"
    return UserError(f"{where} cannot be read as YAML ({cut(problem, 200)}): correct it")


def _too_deep(name: str) -> UserError:
    return UserError(f"{name} is nested more than {DEEPEST} deep: write it flatter")


def _refuse_bombs(document: Any, name: str) -> None:
    """Raise where aliases make nodes that never end, or far more of them than there is text."""
    sizes: dict[Any, int] = {}

    def size(node: Any, depth: int) -> int:
        if depth == DEEPEST and isinstance(node.value, list):  # a node that holds itself, too
            raise _too_deep(name)
        if node.tag == _INTEGER and len(node.value) > _DIGITS:  # Python may refuse to print it
            raise _no_yaml(name, f"a number of {len(node.value):,} digits", node.start_mark.line)
        if node not in sizes:
            inner = node.value if isinstance(node.value, list) else []
            flat = [part for item in inner for part in (item if type(item) is tuple else [item])]
            sizes[node] = 1 + sum(size(part, depth + 1) for part in flat)
        return sizes[node]

    if size(document, 0) > MOST:
        raise UserError(f"{name} holds more than {MOST:,} values, aliases included: shorten it")


def flow(value: Any) -> str:
    """A mapping or list of plain values as YAML in one line, which DVC reads back the same.

    >>> flow({"label": "Yes", "column": "1e3", "keep": 0.1})
    "{label: Yes, column: '1e3', keep: 0.1}"
    """
    with needing("YAML", "study"):
        from ruamel.yaml import YAML

    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style, writer.width = True, sys.maxsize
    writer.sort_base_mapping_type_on_output = False
    stream = io.StringIO()
    writer.dump(value, stream)
    return stream.getvalue().strip()


def written(value: Any) -> str:
    """A value for a message, as YAML has it, in one line, cut if it is long.

    >>> written([True, None, "a", 1.5, float("inf")])
    "[true, null, 'a', 1.5, .inf]"
    """
    return cut(_written(value))


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_written(key)}: {_written(of)}' for key, of in value.items())}}}"
    return repr(value)
