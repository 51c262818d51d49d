"""The exception for mistakes that a user can make and correct."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress


class UserError(ValueError):
    """A mistake in the input, in one sentence.

    The message names the file, row, key or value, says what was expected and what to do.
    A stage prints the message and exits with status 2; the library raises it like any
    ``ValueError``. What it quotes from the input is :func:`printable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def shown(value: object) -> str:
    """A value for a message: its repr in one line, cut if it is long.

    >>> shown(range(3)), len(shown([0] * 99))
    ('range(0, 3)', 60)
    """
    return cut(repr(value))


def cut(text: str, most: int = 60) -> str:
    """A text for a message: one line, cut to ``most`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable(text: str) -> str:
    r"""A text for people, with the characters that act instead of being seen as escapes.

    These are control characters (a terminal obeys them), line and paragraph ends, marks that change
    the direction of writing or have no width, and half surrogate pairs. The joiners stay: the
    spelling of some languages needs them.

    >>> printable("a\x1b[2J b\u202ec é")
    'a\\x1b[2J b\\u202ec é'
    """
    return "".join(
        sign.encode("unicode_escape").decode("ascii")
        if unicodedata.category(sign) in _ACTING and sign not in _JOINERS
        else sign
        for sign in text
    )


_ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UserError:
    """The error for a name that is not in ``known``: lists these and suggests the closest.

    >>> str(unknown_name("loss", "tripplet", ["contrastive", "triplet"]))
    "unknown loss 'tripplet'; did you mean 'triplet'? Known: contrastive, triplet"
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return UserError(f"unknown {kind} {shown(name)}{hint} Known: {', '.join(names)}")


class MissingPackageError(UserError, ModuleNotFoundError):
    """A missing package that not every installation has; an import error as well."""


@contextmanager
def needing(purpose: str, extra: str | None = None) -> Iterator[None]:
    """Imports of packages that not every installation has.

    Args:
        purpose: what needs them; the message starts with it.
        extra: the extra of this distribution that brings them; None for a package that its users
            install by its own name.

    Raises:
        MissingPackageError: one of them is not installed; the message says how to install it.
    """
    try:
        yield
    except MissingPackageError:
        raise
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in ("", "textmetric"):
            raise
        raise missing_package(module, purpose, extra) from None


_PACKAGES = {  # where the module is named otherwise
    "cognitivefactory": "cognitivefactory-interactive-clustering",
    "huggingface_hub": "huggingface-hub",
    "markdown_it": "markdown-it-py",
    "pytorch_metric_learning": "pytorch-metric-learning",
    "ruamel": "ruamel.yaml",
    "sentence_transformers": "sentence-transformers",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
}


def missing_package(module: str, purpose: str, extra: str | None = None) -> MissingPackageError:
    """The error for a top-level module that cannot be found; see :func:`needing`.

    >>> str(missing_package("tokenizers", "the tokenizer"))
    'the tokenizer needs the package tokenizers: install it with pip install tokenizers'
    """
    package = _PACKAGES.get(module, module)
    wanted = package if extra is None else f"'{_installed_from()}[{extra}]'"
    return MissingPackageError(
        f"{purpose} needs the package {package}: install it with pip install {wanted}"
    )


def _installed_from() -> str:
    """What pip calls this distribution: its name, or the folder of a clone."""
    from importlib import metadata

    name = "text-metric-learning"
    with suppress(metadata.PackageNotFoundError):
        if metadata.distribution(name).read_text("INSTALLER"):  # not what a build left in a clone
            return name
    return "."
