"""A saved model in use: from the start of a process to embeddings, and what embedding alone costs.

The peer of a process is the estimator, which loads the same folder with torch and gives the same
bits. The peer of embedding is the torch module that was trained.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import distribution
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.corpora import texts
from benchmarks.rounds import Case, Options, cpu_seconds
from textmetric.encoders import BagEncoder, FrozenEncoder
from textmetric.inference import Layer
from textmetric.model import TrainedModel
from textmetric.params import Model, Recipe, Train
from textmetric.text import tokenize_train, tokenizer_named

ROOT = Path(__file__).parents[1]
WORDS = 8  # of a text, as in a title
MANY, QUICK_MANY, FEW = 100_000, 5_000, 100
WIDTHS, DIM = (32, 256), 256
LAYERS: tuple[Layer, ...] = ("linear", "layernorm", "mlp")
LONG_WORDS, LONG = 200, 20_000
LOAD = {"runtime": "textmetric.load", "estimator": "textmetric.TextEmbedder.load"}
PROGRAM = """
import hashlib, json, sys
import textmetric
texts = json.load(open(sys.argv[2], encoding="utf-8"))
found = {load}(sys.argv[1]).transform(texts)
print(hashlib.sha256(found.tobytes()).hexdigest(), len(found))
"""


def cases(options: Options) -> Iterator[Case]:
    """Whole processes, then embedding alone."""
    many = QUICK_MANY if options.quick else MANY
    some, _ = texts(options, many)
    short = [" ".join(text.split()[:WORDS]) for text in some]
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder, "model"), short)
        sizes = ", ".join(f"{name} {_installed(name):.0f} MB" for name in ("numpy", "safetensors"))
        for count, note in ((FEW, f"installed {sizes}, without byte code"), (many, "")):
            path = Path(folder, f"{count}.json")
            path.write_text(json.dumps(short[:count]), encoding="utf-8")
            ours, theirs = (partial(process, Path(folder, "model"), path, how) for how in LOAD)
            yield Case(
                "runtime",
                f"start, load and embed {count:,} short texts, {WIDTHS[-1]} dimensions",
                ours,
                "TextEmbedder",
                theirs,
                goal=1.0,
                note=note,
                check=_same_bits,
                clock=cpu_seconds,
            )
    yield from embedding(options, short)


def embedding(options: Options, short: list[str]) -> Iterator[Case]:
    """Tokens and text vectors to embeddings: ours against the module of torch."""
    torch.manual_seed(0)
    some, _ = texts(options, QUICK_MANY if options.quick else LONG)
    for what, many in (("short texts", short), ("texts", list(_cut(some, LONG_WORDS)))):
        vocabulary, tokens = tokenize_train(many)
        for width in WIDTHS:
            encoder = BagEncoder(len(vocabulary), width)
            yield Case(
                "runtime",
                f"embed {len(many):,} {what} of {tokens.lengths.mean():.0f} tokens, {width} wide",
                partial(encoder.embed, tokens),
                "EmbeddingBag of torch",
                partial(_by_torch, encoder, torch.from_numpy(np.array(tokens.ids)),
                        torch.from_numpy(np.array(tokens.offsets[:-1]))),
                check=_close,
            )  # fmt: skip
    values = np.random.default_rng(0).normal(size=(len(short), 384)).astype(np.float32)
    for layer in LAYERS:
        frozen = FrozenEncoder(DIM, layer, width=384)
        yield Case(
            "runtime",
            f"project {len(short):,} text vectors by {layer}, 384 to {DIM} wide",
            partial(frozen.embed_vectors, values),
            "the module of torch",
            partial(_projected, frozen, torch.from_numpy(values)),
            check=_close,
            note="ours is exact, so the same on every processor and for every batch",
        )


def save(folder: Path, some: list[str]) -> None:
    """A model for the texts with weights as they start: what they are does not change the time."""
    torch.manual_seed(0)
    vocabulary, _ = tokenize_train(some, tokenizer=tokenizer_named("words"))
    width = WIDTHS[-1]
    TrainedModel(
        encoder=BagEncoder(len(vocabulary), width),
        head=None,
        centroids=np.eye(2, width, dtype=np.float32),
        vocabulary=vocabulary,
        label_names=["a", "b"],
        recipe=Recipe(
            objective={"name": "sup_con"},
            sampler="balanced",
            model=Model(dim=width),
            train=Train(),
            seed=0,
        ),
    ).save(folder)


def process(folder: Path, texts: Path, how: str) -> str:
    """The sum of the embeddings that a process of its own gives, and how many there are."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(load=LOAD[how]), str(folder), str(texts)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def _installed(name: str) -> float:
    """MB of the files of an installed package, byte code not counted."""
    found = distribution(name)
    paths = [path for path in found.files or [] if path.suffix != ".pyc"]
    return sum(path.size or 0 for path in paths) / 1e6


def _cut(texts: list[str], words: int) -> Iterator[str]:
    return (" ".join(islice(text.split(), words)) for text in texts)


def _by_torch(encoder: Any, ids: Any, offsets: Any) -> Any:
    return _without_gradient(lambda: encoder(ids, offsets))


def _projected(encoder: Any, values: Any) -> Any:
    return _without_gradient(lambda: encoder.project(values))


def _without_gradient(call: Callable[[], Any]) -> Any:
    with torch.no_grad():
        return call().numpy()


def _same_bits(ours: str, theirs: str) -> str:
    assert ours == theirs, "the embeddings differ"
    return "the same bits"


def _close(ours: Any, theirs: Any) -> str:
    difference = float(np.abs(ours - theirs).max())
    assert difference < 1e-5, f"the embeddings differ by {difference:.1g}"
    return f"embeddings differ by {difference:.0e} at most"
