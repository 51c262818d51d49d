"""Training: a step's arithmetic, an epoch, whole jobs, and compilation.

Against the same loop by torch alone; against the loop of PyTorch's tutorial on text
classification, which tokenises every batch again; against fastText; and metric learning against
classification.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchtext.data.utils import get_tokenizer
from torchtext.vocab import Vocab

from benchmarks.corpora import texts
from benchmarks.rounds import Case, Options
from textmetric.encoders import BagEncoder, build_encoder
from textmetric.grid import Arm, Family, Layout, Sampler, Split, Training
from textmetric.losses import ClassificationObjective, build
from textmetric.model import TrainedModel
from textmetric.params import Model, Train
from textmetric.pipeline.train_arms import train_arms
from textmetric.sampling.batches import BatchSampler
from textmetric.text import LabelledTokens, TokenizedCorpus, tokenize_corpus, tokenize_train
from textmetric.training.loop import Epoch, fit

try:
    import fasttext
except ModuleNotFoundError:
    if sys.version_info < (3, 13):
        raise
    fasttext = None  # it has no wheel for these Pythons

ROWS = 120_000  # of a table of texts: as many as AG_NEWS has
DOCSTRINGS, QUICK_ROWS = 20_000, 600
DIM, BATCH = 32, 64
SAME_LOSS = 0.02
"""Two epochs that do the same differ by rounding alone, which a miner's choices carry on."""
CELLS: tuple[tuple[Family, str, Sampler], ...] = (
    (Family.CLASSIFICATION, "cross_entropy", "shuffled"),
    (Family.METRIC, "triplet", "balanced"),
)
SPLIT = Split("target", "target")
Accuracy = Callable[[], float]
WARM_UP = """
from textmetric.encoders import build_encoder
from textmetric.losses import build
from textmetric.params import Model, Train
from textmetric.training.loop import warm_up

for family, name in {cells}:
    objective = build(family, {{"name": name}}, dim=32, classes=2)
    warm_up(build_encoder(Model(), 2), objective, Train())
"""


def cases(options: Options) -> Iterator[Case]:
    """Epochs, then whole jobs, then compilation."""
    warnings.filterwarnings("ignore", "Sparse invariant checks")  # of torch.optim.Adagrad
    rows = QUICK_ROWS if options.quick else ROWS if options.texts else DOCSTRINGS
    some, labels = texts(options, rows)
    yield from epochs(some, labels)
    part = np.random.default_rng(0).choice(
        ["train", "validation", "test"], size=len(some), p=[0.75, 0.05, 0.2]
    )
    frame = pd.DataFrame({"text": some, "label": labels, "split": part})
    yield from against_the_tutorial(frame, 2 if options.quick else 5)
    with tempfile.TemporaryDirectory() as folder:
        corpus = tokenize_corpus(frame, progress=False)
        yield from whole_jobs(corpus, Path(folder), options.quick)
    yield from compilation(options.quick)


def epochs(some: list[str], labels: npt.NDArray[np.int32]) -> Iterator[Case]:
    """An epoch of ours against the same arithmetic by torch."""
    vocabulary, tokens = tokenize_train(some)
    data = LabelledTokens(tokens, labels)
    classes = int(labels.max()) + 1

    def start(family: Family, name: str) -> tuple[BagEncoder, Any]:
        torch.manual_seed(0)
        objective = build(family, {"name": name}, dim=DIM, classes=classes)
        return build_encoder(Model(dim=DIM), len(vocabulary)), objective

    def ours(family: Family, name: str, sampler: str, optimizer: Any, plain: bool = False) -> float:
        encoder, objective = start(family, name)
        settings = Train(epochs=1, optimizer=optimizer, decay="constant")
        found: list[Epoch] = []
        fit(
            encoder, objective, data, settings,
            sampler=sampler, seed=0, plain=plain, on_epoch=found.append,
        )  # fmt: skip
        return found[0].loss

    def theirs(family: Family, name: str, sampler: str, optimizer: str) -> float:
        encoder, objective = start(family, name)
        bag = nn.EmbeddingBag.from_pretrained(
            encoder.weight.detach(), freeze=False, mode="mean", sparse=True
        )
        kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adagrad
        updates = kind([*bag.parameters(), *objective.parameters()], lr=Train().lr)
        objective.train()
        losses = []
        for rows in BatchSampler(sampler, labels, BATCH, seed=0).epoch():
            batch = tokens.take(rows)
            embeddings = bag(
                torch.from_numpy(batch.ids), torch.from_numpy(batch.offsets[:-1]).int()
            )
            updates.zero_grad()
            loss = objective(embeddings, torch.from_numpy(labels[rows].astype(np.int64)))
            loss.backward()
            updates.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    for family, name, sampler, optimizer in (
        (*CELLS[0], "sgd"),
        (*CELLS[0], "adagrad"),
        (*CELLS[1], "adagrad"),
    ):
        made = partial(
            Case,
            "training",
            f"an epoch of {name} by {optimizer}, {len(some):,} texts",
            partial(ours, family, name, sampler, optimizer),
            check=same_loss,
        )
        plain = partial(ours, family, name, sampler, optimizer, plain=True)
        yield made("our step by torch alone", plain)
        yield made(
            f"nn.EmbeddingBag(sparse=True) and torch.optim's {optimizer}",
            partial(theirs, family, name, sampler, optimizer),
        )


def same_loss(ours: float, theirs: float) -> str:
    """Raises AssertionError if two mean losses are not equal."""
    assert abs(ours - theirs) <= SAME_LOSS * theirs, f"their losses are {ours} and {theirs}"
    return f"mean loss {ours:.4f} and {theirs:.4f}"


def accuracies(ours: Accuracy, theirs: Accuracy | None = None) -> str:
    """How good the models are on texts that they have not seen."""
    found = " and ".join(f"{side():.3f}" for side in (ours, theirs) if side is not None)
    return f"held-out accuracy {found}"


class TutorialModel(nn.Module):
    """The model of the tutorial: bags from scratch, and a linear layer to the classes."""

    def __init__(self, tokens: int, classes: int, sparse: bool) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(tokens, DIM, sparse=sparse)
        self.fc = nn.Linear(DIM, classes)
        for weight in (self.embedding.weight, self.fc.weight):
            nn.init.uniform_(weight, -0.5, 0.5)
        nn.init.zeros_(self.fc.bias)

    def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Logits of texts whose token ids start at the offsets."""
        logits: torch.Tensor = self.fc(self.embedding(ids, offsets))
        return logits


class Tutorial:
    """The loop of PyTorch's tutorial "Text classification with the torchtext library".

    Args:
        frame: ``text``, ``label`` (ids) and ``split``.
        sparse: gradients of the touched tokens only, as the tutorial's first edition had it;
            they cannot be clipped. The later one has them dense, and clipped.
    """

    def __init__(self, frame: pd.DataFrame, sparse: bool) -> None:
        self.rows = {
            part: list(zip(rows["label"].tolist(), rows["text"].tolist(), strict=True))
            for part, rows in frame.groupby("split")
        }
        self.classes = int(frame["label"].max()) + 1
        self.sparse = sparse
        self.tokenizer = get_tokenizer("basic_english")
        self.vocabulary: Vocab | None = None

    def build_vocabulary(self) -> None:
        """Count the tokens of the train texts."""
        counter: Counter[str] = Counter()
        for _, text in self.rows["train"]:
            counter.update(self.tokenizer(text))
        self.vocabulary = Vocab(counter, specials=["<unk>"])

    def collate(
        self, batch: list[tuple[int, str]]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Labels, ids and offsets of some texts."""
        assert self.vocabulary is not None
        known = self.vocabulary.stoi
        labels, ids, offsets = [], [], [0]
        for label, text in batch:
            labels.append(label)
            found = torch.tensor([known[token] for token in self.tokenizer(text)], dtype=torch.long)
            ids.append(found)
            offsets.append(found.size(0))
        return torch.tensor(labels), torch.cat(ids), torch.tensor(offsets[:-1]).cumsum(dim=0)

    def train(self, epochs: int) -> Accuracy:
        """Train a model; gives what tells its accuracy."""
        assert self.vocabulary is not None
        torch.manual_seed(0)
        model = TutorialModel(len(self.vocabulary), self.classes, self.sparse)
        criterion = nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
        rows: Any = self.rows["train"]
        loader = DataLoader(rows, batch_size=BATCH, shuffle=True, collate_fn=self.collate)
        model.train()
        correct = 0
        for _ in range(epochs):
            for labels, ids, offsets in loader:
                optimizer.zero_grad()
                logits = model(ids, offsets)
                criterion(logits, labels).backward()
                if not self.sparse:
                    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                optimizer.step()
                correct += int((logits.argmax(1) == labels).sum())
        return partial(self.accuracy, model)

    def whole(self, epochs: int) -> Accuracy:
        """From texts to a model."""
        self.build_vocabulary()
        return self.train(epochs)

    @torch.no_grad()
    def accuracy(self, model: TutorialModel) -> float:
        """On the test texts."""
        labels, ids, offsets = self.collate(self.rows["test"])
        return float((model(ids, offsets).argmax(1) == labels).float().mean())


def against_the_tutorial(frame: pd.DataFrame, many: int) -> Iterator[Case]:
    """One epoch from tokens against one of the tutorial; then both from raw texts."""
    parts = dict(list(frame.groupby("split")))
    labels = {part: rows["label"].to_numpy(np.int32) for part, rows in parts.items()}
    trained, held_out = parts["train"]["text"].tolist(), parts["test"]["text"].tolist()
    classes = int(frame["label"].max()) + 1

    def fitted(vocabulary: Any, tokens: Any, epochs: int) -> Accuracy:
        torch.manual_seed(0)
        encoder = build_encoder(Model(dim=DIM), len(vocabulary))
        head = build(Family.CLASSIFICATION, {"name": "cross_entropy"}, dim=DIM, classes=classes)
        assert isinstance(head, ClassificationObjective)
        data = LabelledTokens(tokens, labels["train"])
        fit(encoder, head, data, Train(epochs=epochs), sampler="shuffled", seed=0)

        def accuracy() -> float:
            embeddings = torch.from_numpy(encoder.embed(vocabulary.encode(held_out)))
            found = head.logits(embeddings).argmax(1).numpy()
            return float((found == labels["test"]).mean())

        return accuracy

    def ours_whole() -> Accuracy:
        return fitted(*tokenize_train(trained), epochs=many)

    vocabulary, tokens = tokenize_train(trained)
    dense, sparse = Tutorial(frame, sparse=False), Tutorial(frame, sparse=True)
    made = partial(Case, "training", check=accuracies)
    size = f"{len(trained):,} texts"
    for tutorial, name in (
        (dense, "the loop of PyTorch's torchtext tutorial"),
        (sparse, "the tutorial's loop with sparse=True, not clipped"),
    ):
        tutorial.build_vocabulary()
        yield made(
            f"an epoch of cross_entropy, tokenised before, {size}",
            partial(fitted, vocabulary, tokens, 1),
            name,
            partial(tutorial.train, 1),
            goal=1 / 30 if tutorial is dense else None,
            note="theirs tokenises in every batch; ours did once for all epochs, not counted here",
        )
    yield made(
        f"tokens, vocabulary and {many} epochs of cross_entropy, {size}",
        ours_whole,
        "the tutorial's loop with sparse=True, not clipped",
        partial(sparse.whole, many),
    )


def whole_jobs(corpus: TokenizedCorpus, folder: Path, quick: bool) -> Iterator[Case]:
    """Several seeds from tokens on disk to models on disk."""
    seeds, epochs = ([0, 1], 2) if quick else ([0, 1, 2, 3, 4], 10)
    layout = Layout(folder)
    corpus.save(layout.split(SPLIT))
    words = np.array(corpus.vocabulary.tokens, dtype=object)
    for part in ("train", "test"):
        rows: LabelledTokens = getattr(corpus, part)
        tokens = rows.tokens.whole()
        lines = [
            f"__label__{label} {' '.join(words[ids])}"
            for label, ids in zip(
                rows.labels, np.split(tokens.ids, tokens.offsets[1:-1]), strict=True
            )
        ]
        (folder / f"{part}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def ours(family: Family, name: str, sampler: Sampler) -> Accuracy:
        train_arms(
            layout, family, SPLIT.role,
            splits=[SPLIT], objective={"name": name}, samplers=[sampler],
            seeds=seeds, model=Model(dim=DIM), settings=Train(epochs=epochs), progress=False,
        )  # fmt: skip

        def accuracy() -> float:
            model = TrainedModel.load(layout.model(Training(Arm(family, sampler), SPLIT, seeds[0])))
            predict = model.predict_centroid if model.head is None else model.predict_head
            found = predict(model.embed(corpus.test.tokens))
            return float((found == corpus.test.labels).mean())

        return accuracy

    def theirs() -> Accuracy:
        for seed in seeds:
            model = fasttext.train_supervised(
                str(folder / "train.txt"), dim=DIM, epoch=epochs, minCount=1, thread=2, verbose=0,
                seed=seed,
            )  # fmt: skip
        return lambda: float(model.test(str(folder / "test.txt"))[1])

    job = f"{len(seeds)} seeds × {epochs} epochs of {{}}, {len(corpus.train):,} texts"
    for (family, name, sampler), goal in zip(CELLS, (0.35, 1.0), strict=True):
        yield Case(
            "training",
            job.format(name),
            partial(ours, family, name, sampler),
            "fastText",
            theirs if fasttext else None,
            goal=goal,
            check=accuracies,
            note="ours in 2 processes, fastText with 2 threads, one seed after another"
            if fasttext
            else "fastText has no wheel for this Python",
        )
    yield Case(
        "training",
        job.format("triplet"),
        partial(ours, *CELLS[1]),
        "ours of cross_entropy",
        partial(ours, *CELLS[0]),
        goal=2.5,
        check=accuracies,
    )


def compilation(quick: bool) -> Iterator[Case]:
    """What the first training on a machine pays, and every later one."""
    chosen = CELLS[:1] if quick else CELLS
    cells = [(str(family), name) for family, name, _ in chosen]

    def run(cache: str) -> None:
        subprocess.run(
            [sys.executable, "-c", WARM_UP.format(cells=cells)],
            cwd=Path(__file__).parents[1],
            env=os.environ | {"NUMBA_CACHE_DIR": cache},
            check=True,
        )

    def first() -> None:
        with tempfile.TemporaryDirectory() as cache:
            run(cache)

    what = f"a process that starts to train {' and '.join(name for _, name in cells)}"
    yield Case("training", f"{what}: nothing is compiled yet", first, long=True)
    with tempfile.TemporaryDirectory() as cache:
        yield Case(
            "training",
            f"{what}: compiled before",
            partial(run, cache),
            "the import of torch and numba alone",
            partial(subprocess.run, [sys.executable, "-c", "import torch, numba"], check=True),
            long=quick,
        )
