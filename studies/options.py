"""The options that the command lines of the studies share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textmetric import command
from textmetric.errors import UserError, shown
from textmetric.grid import SAMPLERS, Family
from textmetric.losses import OBJECTIVES, describe, family_of, ignored
from textmetric.params import Params, read
from textmetric.yaml12 import parse_yaml

AFTER_INTERRUPT = "run the same command again to go on with what is missing"
Chosen = tuple[Family, dict[str, Any]]
"""The family of an objective, and its name with the parameters that were given."""


def parser(
    module: str,
    description: str | None,
    *,
    objectives: str,
    out: str,
    corpus: bool = True,
) -> argparse.ArgumentParser:
    """A command line with the options that all studies have.

    Args:
        module: the name after ``python -m``.
        description: the help text, with examples.
        objectives: which are trained by default, in words.
        out: where table and pictures go by default.
        corpus: whether it has one corpus, ``--corpus``.
    """
    made = command.parser(module, description)
    if corpus:
        made.add_argument(
            "--corpus",
            default="docstrings",
            metavar="SPEC",
            help="a built-in name, a path, or a mapping, see docs/corpora.md (%(default)s)",
        )
    made.add_argument(
        "--objectives",
        nargs="+",
        metavar="OBJECTIVE",
        help=f"names, or mappings such as '{{name: triplet, miner: hard}}' ({objectives})",
    )
    made.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="(0 1 2)")
    made.add_argument("--epochs", type=int, help="(train.epochs of params.yaml)")
    made.add_argument("--limit", type=int, help="at most this many train rows (data.limit)")
    made.add_argument("--sampler", choices=SAMPLERS, default="balanced", help="(%(default)s)")
    add_files(made, "where table and pictures go", out)
    return made


def add_files(parser: argparse.ArgumentParser, written: str, out: str = "docs") -> None:
    """Add the options that say what a study reads and where it writes.

    Args:
        parser: of the study.
        written: what is written where, in words.
        out: where by default.
    """
    parser.add_argument("--params", default="params.yaml", metavar="FILE", help="(%(default)s)")
    command.add_cluster(parser)
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("data/studies"),
        metavar="FOLDER",
        help="finished trainings; what is there is not done again (%(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path(out), metavar="FOLDER", help=f"{written} (%(default)s)"
    )


def read_params(arguments: argparse.Namespace) -> Params:
    """params.yaml with the options of the command line in it.

    Raises:
        UserError: a wrong value, there or here.
    """
    params = read(arguments.params)
    if min(arguments.seeds) < 0 or len(set(arguments.seeds)) < len(arguments.seeds):
        raise UserError(f"--seeds is {arguments.seeds}: give different whole numbers from 0")
    if arguments.epochs is not None and arguments.epochs < 1:
        raise UserError(f"--epochs is {arguments.epochs}, expected at least 1")
    if arguments.limit is not None and arguments.limit < 20:
        raise UserError(f"--limit is {arguments.limit}, expected at least 20 rows")
    train = params.train.model_copy(
        update={} if arguments.epochs is None else {"epochs": arguments.epochs}
    )
    data = params.data.model_copy(
        update={} if arguments.limit is None else {"limit": arguments.limit}
    )
    return params.model_copy(update={"train": train, "data": data})


def mapping_or_name(text: str) -> str | dict[str, Any]:
    """A command line's word as params.yaml would read it: a mapping, or else the word itself.

    >>> mapping_or_name("{path: news.csv, label: topic}")
    {'path': 'news.csv', 'label': 'topic'}
    >>> mapping_or_name("docstrings")
    'docstrings'
    """
    value = parse_yaml(text, shown(text))
    return value if isinstance(value, dict) else text


def chosen_objectives(words: Sequence[str] | None) -> list[Chosen]:
    """The objectives that ``--objectives`` names, all of the registry for None.

    Raises:
        UserError: an unknown name or parameter.
    """
    if words is None:
        return [(family, {"name": name}) for family in Family for name in OBJECTIVES[family]]
    chosen: list[Chosen] = []
    for word in words:
        value = mapping_or_name(word)
        objective = value if isinstance(value, dict) else {"name": value}
        family = family_of(str(objective.get("name")))
        if foreign := ignored(family, objective):  # which checks the others
            raise UserError(f"{title(objective)}: it has no parameter {foreign[0]}: leave it out")
        describe(family, objective)
        chosen.append((family, objective))
    return chosen


def title(objective: dict[str, Any]) -> str:
    """How an objective is called in tables: its name and the parameters that were given.

    >>> title({"name": "triplet", "miner": "hard"})
    'triplet (miner hard)'
    """
    given = ", ".join(f"{key} {value}" for key, value in objective.items() if key != "name")
    return str(objective["name"]) + (f" ({given})" if given else "")
