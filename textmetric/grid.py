"""The grid of the study: family, role, split, sampler, seed; arms; and the path of every file.

A *training* is one cell of the grid: a family's objective, on a split of a role, with a sampler
and a seed. An *arm* is a family with a sampler; it has a training for every split and seed. Paths
nest in the same order everywhere: ``<family>/<role>/<split>/<sampler>/seed-<seed>``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal, get_args

from textmetric.errors import UserError, unknown_name
from textmetric.types import Measured

Role = Literal["target", "source"]
ROLES: tuple[Role, ...] = get_args(Role)

Sampler = Literal["shuffled", "balanced"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)

INPUTS = Path("inputs")
"""The user's tables and vectors, which DVC watches."""

_PLAIN_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ENTRIES = "splits.json"


class Family(str, Enum):
    """The two ways to train: by a classification objective or by a metric-learning objective.

    Attributes:
        short: ``cls`` or ``metric``, in the names of arms, folders and stages.
        section: the section of params.yaml that holds the objective's parameters.
    """

    CLASSIFICATION = "classification"
    METRIC = "metric"

    __str__ = str.__str__

    @property
    def short(self) -> str:
        """See the class."""
        return "cls" if self is Family.CLASSIFICATION else "metric"

    @property
    def section(self) -> str:
        """See the class."""
        return "classification" if self is Family.CLASSIFICATION else "loss"

    @classmethod
    def parse(cls, short: str) -> Family:
        """The family with this short name.

        Raises:
            UserError: there is none.
        """
        for family in cls:
            if family.short == short:
                return family
        raise unknown_name("family", short, [family.short for family in cls])


SCRATCH = "scratch"
INITS = (*(family.short for family in Family), SCRATCH)
"""What fine-tuning starts from: the source's model of a family, or nothing."""


class Baseline(str, Enum):
    """What the arms are compared with: embeddings that were not trained.

    Attributes:
        TFIDF: TF-IDF vectors, with logistic regression as their classifier.
        UNTRAINED: the encoder as a training starts from it.
    """

    TFIDF = "tfidf"
    UNTRAINED = "untrained"

    __str__ = str.__str__


def known_role(name: str) -> Role:
    """``name``, if it is a role.

    Raises:
        UserError: it is not.
    """
    for role in ROLES:
        if role == name:
            return role
    raise unknown_name("role", name, ROLES)


@dataclass(frozen=True)
class Split:
    """A training set of a role, by name. The name is also that of its folder.

    Raises:
        UserError: the name is not one plain part of a path.

    >>> Split("target", "target-scarce-0").path
    PosixPath('target/target-scarce-0')
    """

    role: Role
    name: str

    def __post_init__(self) -> None:
        if not _PLAIN_NAME.fullmatch(self.name) or self.name == _ENTRIES:
            raise UserError(
                f"splits has the name {self.name!r}, but a name becomes a folder: use at most 100 "
                "letters, digits, dots, hyphens and underscores, the first a letter or a digit, "
                f"and not {_ENTRIES}"
            )

    @property
    def path(self) -> Path:
        """``<role>/<name>``."""
        return Path(self.role, self.name)


TARGET = Split("target", "target")
"""Where the transfer lands."""
SOURCE = Split("source", "source")
"""Where the transfer starts."""


@dataclass(frozen=True)
class Arm:
    """A family trained with one sampler.

    >>> Arm.parse("cls_balanced")
    Arm(family=<Family.CLASSIFICATION: 'classification'>, sampler='balanced')
    >>> Arm(Family.METRIC, "shuffled").name
    'metric_shuffled'
    """

    family: Family
    sampler: Sampler

    @property
    def name(self) -> str:
        """``<family>_<sampler>``, as in params.yaml."""
        return f"{self.family.short}_{self.sampler}"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, name: str) -> Arm:
        """The arm with this name.

        Raises:
            UserError: there is none.
        """
        for arm in ARMS:
            if arm.name == name:
                return arm
        raise unknown_name("entry of arms", name, [arm.name for arm in ARMS])


ARMS = tuple(Arm(family, sampler) for family in Family for sampler in SAMPLERS)


@dataclass(frozen=True)
class Training:
    """One cell of the grid."""

    arm: Arm
    split: Split
    seed: int


def trainings(arms: Iterable[Arm], splits: Iterable[Split], seeds: Sequence[int]) -> list[Training]:
    """Every cell, split by split, arm by arm, seed by seed."""
    known = list(arms)
    return [Training(arm, split, seed) for split in splits for arm in known for seed in seeds]


class Layout:
    """The path of every file that a stage reads or writes.

    Args:
        root: the folder that holds params.yaml, ``data/``, ``models/`` and the results.

    Attributes:
        root: the same.
        raws: the corpora, one folder a role.
        vectors: the given token vectors, if there are any.
        encoded: the vectors of all texts, if the encoder is frozen.
        tokens: the tokenised corpora, one folder a role.
        splits: all training sets.
        objectives: the objectives with their parameters.
        pretraining: what the encoders are pre-trained by, if they are.
        baselines: the records of the baselines, by role and split.
        baseline_transfer: the accuracy of TF-IDF with logistic regression on the target.
        code: the hashes of the stages' code, ``<stage>.json``.
        maps_drawn: the t-SNE pictures, ``<split>.png``.
        curve_tables: the learning curves that DVC draws, ``<split>.csv``.
        page: the interactive report.
        figures: the report's figures.
        results: the report in Markdown.
        cost_table: the table of seconds and memory.
        written: the folders that all of these are in.
    """

    def __init__(self, root: str | os.PathLike[str] = ".") -> None:
        self.root = Path(root)
        data, plots, reports = (self.root / name for name in ("data", "plots", "reports"))
        self.raws, self.tokens, self.splits = data / "raw", data / "tokens", data / "splits"
        self.vectors, self.encoded = data / "vectors", data / "encoded"
        self.objectives, self.code = data / "objectives", data / "code"
        self.pretraining = self.objectives / "pretrain.json"
        self.baselines = data / "measures" / "baselines"
        self.baseline_transfer = self.baselines / "transfer.csv"
        self.maps_drawn, self.curve_tables = plots / "tsne", plots / "curves"
        self.page = plots / "report.html"
        self.figures, self.results = reports / "figures", reports / "results.md"
        self.cost_table = reports / "costs.md"
        self.written = (data, self.root / "models", self.root / "metrics", plots, reports)

    def corpus(self, role: Role) -> Path:
        """The texts of a role with their labels and parts."""
        return self.raws / role / "corpus.parquet"

    def summary(self, role: Role) -> Path:
        """The counts of a role's corpus."""
        return self.raws / role / "summary.json"

    def token_labels(self, role: Role) -> Path:
        """What is known of a tokenised corpus: its labels, their rows, its given tokens."""
        return self.tokens / role / "labels.json"

    def text_vectors(self, role: Role) -> Path:
        """The vectors of the texts of a role, one a row of its corpus."""
        return self.encoded / f"{role}.npy"

    def entries(self, role: Role) -> Path:
        """What the splits of a role are, as written in params.yaml."""
        return self.splits / role / _ENTRIES

    def split(self, split: Split) -> Path:
        """The folder of a training set, whose tokens are those of its role."""
        return self.splits / split.path

    def read_with(self, split: Split) -> list[Path]:
        """What a job that trains on a training set, or embeds it, reads; vectors may be missing."""
        tokens = self.tokens / split.role
        return [self.split(split), tokens, self.vectors, self.text_vectors(split.role)]

    def models(self, family: Family, role: Role) -> Path:
        """The folder of the models of a family and role."""
        return self.root / "models" / family.short / role

    def model(self, training: Training) -> Path:
        """The folder of one trained model."""
        return self._training("models", training)

    def curves(self, family: Family, role: Role) -> Path:
        """The folder of the learning curves of a family and role."""
        return self.root / "data" / "curves" / family.short / role

    def curve(self, arm: Arm, split: Split) -> Path:
        """The learning curves of an arm's seeds on a split."""
        return self._arm("data/curves", arm, split, ".csv")

    def costs(self, family: Family, role: Role) -> Path:
        """The folder of the seconds and memory of a family and role."""
        return self.root / "data" / "costs" / family.short / role

    def cost(self, arm: Arm, split: Split) -> Path:
        """Seconds and memory of an arm's seeds on a split."""
        return self._arm("data/costs", arm, split, ".json")

    def embeddings(self, family: Family) -> Path:
        """The folder of the embedded test and validation parts of a family."""
        return self.root / "data" / "embeddings" / family.short

    def embedding(self, training: Training) -> Path:
        """The test and validation parts of a split, embedded by one model."""
        return self._training("data/embeddings", training, ".npz")

    def measures(self, family: Family) -> Path:
        """The folder of a family's records."""
        return self.root / "data" / "measures" / family.short

    def record(self, arm: Arm, split: Split) -> Path:
        """What was measured of an arm on a split: by seed and class, with intervals."""
        return self._arm("data/measures", arm, split, ".json")

    def baseline(self, baseline: Baseline, split: Split) -> Path:
        """What was measured of a baseline on a split, as of an arm."""
        return self.baselines / split.path / f"{baseline}.json"

    def metrics(self, family: Family) -> Path:
        """The folder of a family's metrics."""
        return self.root / "metrics" / family.short

    def metric(self, arm: Arm, split: Split) -> Path:
        """The means over seeds of an arm on a split, for ``dvc metrics``."""
        return self._arm("metrics", arm, split, ".json")

    def maps(self, family: Family) -> Path:
        """The folder of a family's t-SNE coordinates."""
        return self.root / "data" / "tsne" / family.short

    def map(self, family: Family, split: Split) -> Path:
        """The t-SNE coordinates of a family's arms on a split."""
        return self.maps(family) / split.role / f"{split.name}.npz"

    def transfer(self, init: str) -> Path:
        """The fine-tuning from one of :data:`INITS`. It has no split: it is about both roles."""
        return self.root / "data" / "finetune" / f"{init}.csv"

    def objective(self, family: Family) -> Path:
        """The objective of a family with all its parameters."""
        return self.objectives / f"{family}.json"

    def _arm(self, top: str, arm: Arm, split: Split, suffix: str = "") -> Path:
        return self.root / top / arm.family.short / split.path / f"{arm.sampler}{suffix}"

    def _training(self, top: str, training: Training, suffix: str = "") -> Path:
        folder = self._arm(top, training.arm, training.split)
        return folder / f"seed-{training.seed}{suffix}"


def array_of(part: Measured, name: str) -> str:
    """The name of an array of a part in the file of an embedding.

    >>> array_of("test", "labels"), array_of("validation", "labels")
    ('labels', 'validation_labels')
    """
    return name if part == "test" else f"{part}_{name}"


def moved(path: Path, folder: Path, to: Path) -> Path:
    """The place of ``path``, which lies in ``folder``, when ``folder`` is written to ``to``.

    >>> moved(Path("models/cls/target/all"), Path("models/cls"), Path("models/.new"))
    PosixPath('models/.new/target/all')
    """
    return to / path.relative_to(folder)
