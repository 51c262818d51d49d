"""Any value at any place of params.yaml, and of the estimator: one sentence, or one that fits.

``RULES`` says of every key, independently of the schema, which values may be accepted. A longer
fuzz: ``TEXTMETRIC_FUZZ=20000 pytest tests/test_hostile_values.py``.
"""

from __future__ import annotations

import copy
import datetime
import math
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from textmetric.corpora.spec import checked
from textmetric.embedder import TextEmbedder
from textmetric.errors import UserError
from textmetric.losses import parameters
from textmetric.params import Params
from textmetric.schema import validated
from textmetric.yaml12 import read_yaml, written

RAW = read_yaml(Path(__file__).parents[1] / "params.yaml", "")
EXAMPLES = int(os.environ.get("TEXTMETRIC_FUZZ", "250"))
FUZZ = settings(derandomize=True, deadline=None, max_examples=EXAMPLES)

Rule = Callable[[Any], bool]


def whole(least: int, most: int) -> Rule:
    return lambda value: type(value) is int and least <= value <= most


def number(above: float, most: float, *, open_end: bool = False) -> Rule:
    return lambda value: (
        type(value) in (int, float) and (above < value < most or (value == most and not open_end))
    )


def word(*known: str) -> Rule:
    return lambda value: type(value) is str and value in known


def optional(rule: Rule) -> Rule:
    return lambda value: value is None or rule(value)


def several(rule: Rule, most: int = 1000, least: int = 1, *, once: bool = True) -> Rule:
    return lambda value: (
        type(value) is list
        and least <= len(value) <= most
        and all(map(rule, value))
        and (not once or len(set(value)) == len(value))
    )


def text(value: Any) -> bool:
    return type(value) is str and bool(value)


def mapping(value: Any) -> bool:
    return type(value) is dict and all(type(key) is str for key in value)


def device(value: Any) -> bool:
    return text(value) and re.fullmatch(r"auto|cpu|cuda|cuda:\d{1,3}", value) is not None


ROWS, SEED, EPOCHS, RATE = 2**31 - 1, whole(0, 2**32 - 1), whole(1, 100_000), number(0, 1000)
SHARE, BATCH = number(0, 1, open_end=True), whole(4, 65_536)
ARMS = word("cls_shuffled", "cls_balanced", "metric_shuffled", "metric_balanced")

RULES: dict[str, Rule] = {
    "corpora.target": lambda value: text(value) or mapping(value),
    "corpora.source": lambda value: text(value) or mapping(value),
    "data.limit": optional(whole(20, ROWS)),
    "data.mirror": optional(text),
    "data.validation": SHARE,
    "data.test": SHARE,
    "data.min_freq": whole(1, ROWS),
    "data.max_size": optional(whole(1, ROWS)),
    "data.seed": SEED,
    "splits.target.role": word("target", "source"),
    "splits.target.scarce": several(whole(0, ROWS), most=10**6, least=0, once=False),
    "splits.target.keep": number(0, 1),
    "splits.target.rare": whole(0, ROWS),
    "splits.target.open": optional(SHARE),
    "splits.target.unlabel": lambda value: type(value) is bool,
    "samplers": several(word("shuffled", "balanced")),
    "arms": several(ARMS),
    "seeds": several(SEED),
    "model.encoder": word("bag"),  # frozen needs another layer
    "model.dim": whole(1, 16_384),
    "model.layer": word("bag", "linear", "layernorm", "mlp"),
    "model.vectors": optional(text),
    "model.start": word("uniform", "lsa"),
    "model.weights": word("uniform", "idf"),
    "model.ngrams": word("none", "characters"),
    "train.epochs": EPOCHS,
    "train.batch_size": BATCH,
    "train.optimizer": word("sgd", "adagrad", "adam"),
    "train.lr": RATE,
    "train.decay": word("linear", "constant"),
    "train.device": device,
    "train.vectors": word("tuned"),  # frozen needs another layer
    "train.window": optional(whole(64, ROWS)),  # a batch at least
    "pretrain.objective": lambda value: type(value) is str,  # the stage objectives looks it up
    "pretrain.parameters": mapping,
    "pretrain.epochs": EPOCHS,
    "pretrain.batch_size": BATCH,
    "pretrain.lr": RATE,
    "classification": mapping,
    "loss": mapping,
    "evaluate.neighbours": whole(1, 1000),
    "tsne.points": optional(whole(10, 10**6)),
    "tsne.seeds": whole(1, 1000),
    "tsne.perplexity": number(1, 10_000),
    "tsne.seed": SEED,
    "finetune.sampler": word("shuffled", "balanced"),
    "finetune.epochs": EPOCHS,
    "finetune.lr": RATE,
    "finetune.tanh": several(lambda value: type(value) is bool),
    "finetune.shares": lambda value: several(number(0, 1))(value) and 1 in value,
}
SECTIONS = {key.partition(".")[0] for key in RULES}

LOSS_RULES: dict[str, Rule] = {
    "margin": lambda value: number(0, 1000)(value) or (type(value) in (int, float) and value == 0),
    "distance": word("euclidean", "squared_euclidean", "cosine"),
    "miner": word("all", "random", "easy", "semi_hard", "hard"),
    "normalize": lambda value: type(value) is bool,
    "reduction": word("mean", "active_mean"),
}

AUTO = word("auto")
ESTIMATOR_RULES: dict[str, Rule] = {
    "sampler": word("shuffled", "balanced"),
    "dim": lambda value: AUTO(value) or RULES["model.dim"](value),
    "layer": RULES["model.layer"],
    "encoder": word("bag"),
    "tokenizer": word("words", "basic_english", "basic_english_ngrams"),
    "start": word("uniform", "lsa"),
    "vectors": optional(text),
    "weights": word("uniform"),  # the default start weighs the tokens
    "tune_vectors": lambda value: value is True,  # else nothing would be trained
    "epochs": lambda value: AUTO(value) or EPOCHS(value),
    "batch_size": lambda value: AUTO(value) or BATCH(value),
    "optimizer": RULES["train.optimizer"],
    "lr": lambda value: AUTO(value) or RATE(value),
    "decay": RULES["train.decay"],
    "pretrain": lambda value: value is None or AUTO(value) or value == {},
    "classifier": word("auto", "centroid", "logistic"),
    "calibrate": lambda value: type(value) is bool,
    "warm_start": lambda value: type(value) is bool,
    "min_freq": RULES["data.min_freq"],
    "max_size": RULES["data.max_size"],
    "seed": SEED,
    "device": device,
    "progress": lambda value: type(value) is bool,
}

EDGES = [0, 1, 2, 3, 4, 9, 10, 19, 20, 1000, 1001, 10_000, 16_384, 16_385, 65_536, 65_537, 100_000]
NUMBERS = [*EDGES, 10**6, 10**6 + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**64, 10**30, 10**400]
FLOATS = [1.0, 0.5, 1e-320, 1.5, 1e3, 1e4, 1e9, 1e300, math.inf, math.nan, -0.0, 0.999]
WORDS = [
    *["auto", "cpu", "cuda", "cuda:1", "cuda:9999", "bag", "linear", "mlp", "frozen", "tuned"],
    *["uniform", "idf", "lsa", "none", "characters", "sgd", "adam", "constant", "shuffled"],
    *["balanced", "cls_shuffled", "target", "source", "words", "given", "triplet", "euclidean"],
    *["inverse_cloze", "hard", "mean", ".inf", "0.1", "1e-1", "10", "true", "Yes", "~"],
    *["", " ", "\0", "a\nb", "é", "😀", "../../x", "~nobody/x", "{{7*7}}", "<b>", "a" * 999],
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.sampled_from([*NUMBERS, *(-value for value in NUMBERS)]),
    st.sampled_from([*FLOATS, *(-value for value in FLOATS)]), st.sampled_from(WORDS),
    st.integers(), st.floats(), st.text(max_size=5),
    st.just(datetime.date(2024, 1, 1)), st.just(b"bytes"),
)  # fmt: skip
HOSTILE = st.one_of(
    SCALARS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4)
        | st.dictionaries(st.one_of(st.sampled_from([*WORDS, "path", "name"]), SCALARS), inner,
                          max_size=3),
        max_leaves=6,
    ),
    st.sampled_from([list(range(1000)), list(range(1001)), [0] * 5000, [1.0] * 9, [[]] * 99]),
)  # fmt: skip
FITTING = st.sampled_from([
    *[1, 5, 64, 100, 0.05, 0.5, None, True, False, "auto", "bag", "linear", "a.csv", [1, 2], [1.0],
      [True], ["cls_shuffled"], ["shuffled", "balanced"], {"name": "sup_con"}, {"path": "a.csv"}],
])  # fmt: skip
VALUES = HOSTILE | FITTING


def leaves(section: BaseModel | type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in section.model_fields.items():
        kinds = (field.annotation, *getattr(field.annotation, "__args__", ()))
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        prefixed = f"{prefix}{name}" + (".target" if name == "splits" else "")
        found += leaves(inner[0], f"{prefixed}.") if inner else [prefixed]
    return found


def test_every_key_has_a_rule() -> None:
    assert sorted(leaves(Params)) == sorted(RULES)
    own = set(TextEmbedder().get_params()) - {"objective", "objective_params"}
    assert own == set(ESTIMATOR_RULES)


def one_sentence(error: UserError) -> str:
    said = str(error)
    assert "\n" not in said
    assert len(said) < 700, said
    assert "Undefined" not in said
    return said


@FUZZ
@given(st.sampled_from(sorted(RULES)), VALUES)
def test_params_yaml_takes_what_fits_and_says_what_does_not(key: str, value: Any) -> None:
    raw = copy.deepcopy(RAW)
    *sections, last = key.split(".")
    place = raw
    for section in sections:
        place[section] = place[section] or {}
        place = place[section]
    place[last] = value
    try:
        params = validated(Params, raw, shown=written)
    except UserError as error:
        said = one_sentence(error)
        named = key in said or "splits" in said
        # what fits is refused only where it does not go with another key, by both their names
        refused = not RULES[key](value) or last in ("samplers", "sampler")
        assert named, said
        assert refused, said
    else:
        assert RULES[key](value), f"{key}: {value!r}"
        for role in ("target", "source"):
            try:
                checked(params.corpora.of(role))
            except UserError as error:
                one_sentence(error)


@FUZZ
@given(st.sampled_from(sorted(LOSS_RULES)), VALUES)
def test_an_objective_takes_what_fits(key: str, value: Any) -> None:
    try:
        parameters("metric", {"name": "triplet", key: value})
    except UserError as error:
        said = one_sentence(error)
        assert f"loss.{key}" in said
        assert not LOSS_RULES[key](value), said
    else:
        assert LOSS_RULES[key](value), f"{key}: {value!r}"


@FUZZ
@given(st.sampled_from(sorted(ESTIMATOR_RULES)), VALUES)
def test_the_estimator_takes_what_fits(key: str, value: Any) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            TextEmbedder(**{key: value})._checked_parameters()
    except UserError as error:
        said = one_sentence(error)
        assert key in said
        assert not re.search(r"\b(train|model|data)\.", said)
        assert not ESTIMATOR_RULES[key](value), said
    else:
        assert ESTIMATOR_RULES[key](value), f"{key}: {value!r}"


@FUZZ
@given(st.dictionaries(SCALARS, HOSTILE, max_size=3), st.booleans())
def test_keys_that_nobody_knows_are_one_sentence(extra: Any, top: bool) -> None:
    raw = copy.deepcopy(RAW)
    (raw if top else raw["train"]).update(extra)
    known = SECTIONS if top else {key.partition(".")[2] for key in RULES if "train." in key}
    try:
        validated(Params, raw, shown=written)
    except UserError as error:
        one_sentence(error)
    else:
        assert set(extra) <= known
