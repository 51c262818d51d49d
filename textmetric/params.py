"""The schema of params.yaml, and its only reader.

Every section is a pydantic model, so that a misspelt key or a bad value is one sentence that
names the key. The parameters of the objectives (``classification``, ``loss``) are checked by
the objective itself, see :func:`textmetric.losses.build`.
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from textmetric.errors import UserError, needing, unknown_name

with needing("the schema of params.yaml", "train"):
    from pydantic import (
        AfterValidator,
        BeforeValidator,
        Field,
        SerializerFunctionWrapHandler,
        field_validator,
        model_serializer,
        model_validator,
    )

from textmetric.grid import Arm, Family, Role, Sampler, Split, known_role
from textmetric.schema import (
    LONGEST,
    BatchSize,
    Count,
    Epochs,
    LearningRate,
    Section,
    Seed,
    Width,
    validated,
)
from textmetric.yaml12 import read_yaml, written

Fraction = Annotated[float, Field(gt=0, lt=1)]


def _arm(value: Any) -> Any:
    return Arm.parse(value) if isinstance(value, str) else value


def _corpus(value: Any) -> Any:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return value
    raise ValueError("it should be a name, a path or a mapping of words, see docs/corpora.md")


Corpus = Annotated[str | dict[str, Any], BeforeValidator(_corpus)]


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", value):
        raise ValueError("it should be auto, cpu or cuda")
    return value


class Corpora(Section):
    """Which corpus plays which role: a name, a path, or a mapping (see docs/corpora.md)."""

    target: Corpus
    source: Corpus

    def of(self, role: str) -> str | dict[str, Any]:
        """The corpus that plays ``role``.

        Raises:
            UserError: there is no such role.
        """
        return self.target if known_role(role) == "target" else self.source


class Data(Section):
    """How rows and tokens are chosen."""

    limit: int | None = Field(default=None, ge=20, lt=1 << 31)
    mirror: str | None = Field(default=None, min_length=1)
    validation: Fraction = 0.1
    test: Fraction = 0.2
    min_freq: Count = 1
    max_size: Count | None = None
    seed: Seed = 0


class SplitEntry(Section):
    """What a training set is: a role's rows, some labels cut, marked as rare, or left out."""

    role: Role
    scarce: list[Annotated[int, Field(ge=0, lt=1 << 31)]] = Field(default_factory=list)
    keep: float = Field(default=1.0, gt=0, le=1)
    rare: int = Field(default=0, ge=0, lt=1 << 31)
    open: Fraction | None = None
    unlabel: bool = False

    def written(self) -> dict[str, Any]:
        """The entry for a file; ``unlabel`` only where it is on."""
        return self.model_dump(exclude=None if self.unlabel else {"unlabel"})


class Model(Section):
    """The encoder."""

    encoder: Literal["bag", "frozen"] = "bag"
    dim: Width = 32
    layer: Literal["bag", "linear", "layernorm", "mlp"] = "bag"
    vectors: str | None = Field(default=None, min_length=1)
    weights: Literal["uniform", "idf"] = "uniform"
    start: Literal["uniform", "lsa"] = "uniform"
    ngrams: Literal["none", "characters"] = "none"

    @model_validator(mode="after")
    def _one_start(self) -> Model:
        if self.start == "lsa":
            other = (
                "model.encoder is frozen" if self.encoder == "frozen"
                else "model.vectors gives the token vectors" if self.vectors is not None
                else "model.weights is idf" if self.weights == "idf"
                else ""
            )  # fmt: skip
            if other:
                raise UserError(
                    f"model.start is lsa, which starts and weighs the token vectors, but {other}: "
                    "set model.start to uniform"
                )
        return self

    @model_validator(mode="after")
    def _something_is_trained(self) -> Model:
        if self.encoder == "frozen" and self.weights != "uniform":
            raise UserError(
                f"model.weights is {self.weights}, but a frozen encoder has no tokens to weigh: "
                "set model.weights to uniform"
            )
        if self.ngrams != "none" and (self.encoder == "frozen" or self.vectors is not None):
            raise UserError(
                f"model.ngrams is {self.ngrams}, which is for token vectors that start at random: "
                "set model.ngrams to none, or model.encoder to bag and model.vectors to null"
            )
        if self.encoder == "frozen" and self.layer == "bag":
            raise UserError(
                "model.encoder is frozen and model.layer is bag, so nothing would be trained: set "
                "model.layer to linear, layernorm or mlp"
            )
        return self


class Train(Section):
    """The training loop, equal for every arm."""

    epochs: Epochs = 10
    batch_size: BatchSize = 64
    optimizer: Literal["sgd", "adagrad", "adam"] = "adagrad"
    lr: LearningRate = 0.1
    decay: Literal["linear", "constant"] = "linear"
    device: Annotated[str, AfterValidator(_device)] = "auto"
    vectors: Literal["tuned", "frozen"] = "tuned"
    window: Annotated[int, Field(ge=4, lt=1 << 31)] | None = None

    @model_validator(mode="after")
    def _a_window_holds_a_batch(self) -> Train:
        if self.window is not None and self.window < self.batch_size:
            raise UserError(
                f"train.window is {self.window}, but train.batch_size is {self.batch_size}, and a "
                "batch comes from one window: raise train.window, or lower train.batch_size"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_no_window(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A recipe says nothing of windows if there were none."""
        found: dict[str, Any] = handler(self)
        if self.window is None:
            found.pop("window", None)
        return found


class Pretrain(Section):
    """What the encoder learns from all texts to learn from, before it sees a label."""

    objective: str = "inverse_cloze"
    parameters: dict[str, Any] = Field(default_factory=dict)
    epochs: Epochs = 5
    batch_size: BatchSize = 64
    lr: LearningRate = 0.3


class Recipe(Section):
    """How a model was trained: all that a training needs besides the texts and their labels."""

    objective: dict[str, Any]
    sampler: Sampler
    model: Model
    train: Train
    pretrain: Pretrain | None = None
    min_freq: Count = 1
    max_size: Count | None = None
    seed: Seed


class Evaluate(Section):
    """The measures."""

    neighbours: int = Field(default=10, ge=1, le=1000)  # a place each for every test row


class Tsne(Section):
    """The pictures."""

    points: int | None = Field(default=1000, ge=10, le=1_000_000)  # hours, and a full picture
    seeds: int = Field(default=2, ge=1, le=LONGEST)
    perplexity: float = Field(default=30, gt=1, le=10_000)  # it is cut to a third of the points
    seed: Seed = 0


class Finetune(Section):
    """The transfer from source to target; every head and every share is trained."""

    sampler: Sampler = "shuffled"
    epochs: Epochs = 3
    lr: LearningRate = 0.05
    tanh: list[bool] = Field(default_factory=lambda: [True, False], min_length=1)
    shares: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=lambda: [0.01, 0.1, 1.0], min_length=1, max_length=LONGEST
    )

    @field_validator("tanh", "shares")
    @classmethod
    def _no_value_twice(cls, values: list[float]) -> list[float]:
        if len(set(values)) < len(values):
            raise ValueError("it holds a value twice, and every value should be another")
        return values

    @field_validator("shares")
    @classmethod
    def _whole_train_part(cls, shares: list[float]) -> list[float]:
        if 1 not in shares:
            raise ValueError("it lacks 1.0, the whole train part, which the curves are drawn from")
        return shares


class Params(Section):
    """All of params.yaml."""

    corpora: Corpora
    data: Data = Data()
    splits: Annotated[dict[str, SplitEntry], Field(min_length=1, max_length=LONGEST)]
    samplers: Annotated[list[Sampler], Field(min_length=1)]
    arms: Annotated[list[Annotated[Arm, BeforeValidator(_arm)]], Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=LONGEST)]
    model: Model = Model()
    train: Train = Train()
    pretrain: Pretrain | None = None
    classification: dict[str, Any]
    loss: dict[str, Any]
    evaluate: Evaluate = Evaluate()
    tsne: Tsne = Tsne()
    finetune: Finetune = Finetune()

    @model_validator(mode="after")
    def _grid_is_complete(self) -> Params:
        self.entries()  # refuses a name that cannot be a folder
        for arm in self.arms:
            if arm.sampler not in self.samplers:
                raise UserError(
                    f"arms has {arm.name!r}, but samplers has no {arm.sampler!r}: add it there, or "
                    "leave the arm out"
                )
        for key in ("arms", "samplers", "seeds"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise UserError(f"{key} holds a value twice: every value must be different")
        if self.pretrain is not None and self.model.encoder == "frozen":
            raise UserError(
                "pretrain is given, but model.encoder is frozen and has no token vectors to train: "
                "leave pretrain out, or set model.encoder to bag"
            )
        if self.pretrain is not None and 0 < (self.train.window or 0) < self.pretrain.batch_size:
            raise UserError(
                f"train.window is {self.train.window}, but pretrain.batch_size is "
                f"{self.pretrain.batch_size}, and a batch comes from one window: raise "
                "train.window, or lower pretrain.batch_size"
            )
        if self.train.vectors == "frozen" and self.model.layer == "bag":
            raise UserError(
                "train.vectors is frozen and model.layer is bag, so nothing of the encoder would "
                "be trained: set model.layer to linear, layernorm or mlp, or train.vectors to tuned"
            )
        if self.finetune.sampler not in self.samplers:
            raise unknown_name("finetune.sampler", self.finetune.sampler, self.samplers)
        return self

    def entries(self) -> dict[Split, SplitEntry]:
        """The splits in their order, each with its entry.

        Raises:
            UserError: a name cannot be the name of a folder.
        """
        return {Split(entry.role, name): entry for name, entry in self.splits.items()}

    def objective(self, family: Family) -> dict[str, Any]:
        """Name and parameters of the objective of a family."""
        return self.classification if family is Family.CLASSIFICATION else self.loss

    def arms_of(self, family: Family) -> list[Arm]:
        """The arms of a family; none if it has no arm."""
        return [arm for arm in self.arms if arm.family is family]


def read(path: str | os.PathLike[str] = "params.yaml") -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the file is missing or is not YAML, or a key or value is wrong; the message
            names the key.
    """
    raw = read_yaml(path, "run from the folder that holds it, or give --params")
    if not isinstance(raw, dict):
        raise UserError(
            f"{path} must hold a mapping of sections: start from the one in the repository"
        )
    try:
        return validated(Params, raw, shown=written)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
