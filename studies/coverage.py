"""Does the interval of the corrected resampled t test cover 95 times in 100?

Each comparison draws texts of four classes, a finite sample of a population, and compares two
learners that are exchangeable: every text has two halves, words of two vocabularies with the same
distribution, and one learner reads the first halves, the other the second ones. So the true
difference of their expected scores is 0. Both are compared as `textmetric compare` compares: on
resampled splits of the sample, with the same parts for both. The share of comparisons whose
interval holds 0 is the coverage, given with its own 95 % interval (Wilson 1927), next to that of a
paired t test that takes the splits for independent.

The learners: `naive_bayes`, a stable one; `half`, naive Bayes on a random half of its train rows,
which adds chance of its own to every split; `neighbour`, the nearest train text, an unstable one;
`retrieval`, Recall@1 among the test texts, with words weighted by how much they tell the classes
apart; `encoder`, the bag encoder of this project, trained by cross-entropy; `seeds`, where both
learners are `half` on the same halves of the texts, so that chance alone separates them.

Examples:
    python -m studies.coverage
    python -m studies.coverage --learners encoder --comparisons 500
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from textmetric import command
from textmetric.compare import SPLITS
from textmetric.compare.purposes import TEST
from textmetric.errors import UserError, unknown_name
from textmetric.grid import Family
from textmetric.measures import paired_difference, share_interval
from textmetric.params import Model, Train
from textmetric.report.formats import table
from textmetric.text import LabelledTokens, RaggedTokens, TokenizedCorpus, Vocabulary
from textmetric.training.loop import train
from textmetric.types import Float64, Int64

CLASSES = 4
WORDS = 40
LENGTH = 4
ROWS = 1000
Learner = Callable[["Half", Int64, Int64, np.random.Generator], float]
"""From the texts, train rows, test rows and a source of chance to a score on the test rows."""


class Half(NamedTuple):
    """One half of every text.

    Attributes:
        words: (n, LENGTH) word ids.
        counts: (n, WORDS) how often each text has each word.
        labels: (n,) class ids.
    """

    words: Int64
    counts: Float64
    labels: Int64


def draw(rows: int, rng: np.random.Generator) -> tuple[Half, Half]:
    """Both halves of a sample of texts from a population that is drawn too."""
    of_class = rng.dirichlet(np.ones(WORDS), CLASSES)
    labels = rng.integers(CLASSES, size=rows)
    halves = []
    for _ in range(2):
        words = np.empty((rows, LENGTH), dtype=np.int64)
        for label, chances in enumerate(of_class):
            of_label = labels == label
            words[of_label] = rng.choice(WORDS, (int(of_label.sum()), LENGTH), p=chances)
        counts = np.zeros((rows, WORDS))
        np.add.at(counts, (np.arange(rows)[:, None], words), 1)
        halves.append(Half(words, counts, labels))
    return halves[0], halves[1]


def _log_chances(half: Half, train_rows: Int64) -> Float64:
    """(CLASSES, WORDS) of naive Bayes, one added to every count."""
    members = np.eye(CLASSES)[half.labels[train_rows]]
    found = members.T @ half.counts[train_rows] + 1
    return np.asarray(np.log(found / found.sum(axis=1, keepdims=True)))


def naive_bayes(half: Half, train_rows: Int64, test: Int64, rng: np.random.Generator) -> float:
    """Accuracy of naive Bayes with equal priors."""
    scores = half.counts[test] @ _log_chances(half, train_rows).T
    return float((scores.argmax(axis=1) == half.labels[test]).mean())


def of_half(half: Half, train_rows: Int64, test: Int64, rng: np.random.Generator) -> float:
    """Accuracy of naive Bayes on a random half of the train rows."""
    return naive_bayes(half, rng.choice(train_rows, len(train_rows) // 2, replace=False), test, rng)


def neighbour(half: Half, train_rows: Int64, test: Int64, rng: np.random.Generator) -> float:
    """Accuracy of the nearest train text by the cosine."""
    rows = _unit(half.counts)
    nearest = (rows[test] @ rows[train_rows].T).argmax(axis=1)
    return float((half.labels[train_rows][nearest] == half.labels[test]).mean())


def retrieval(half: Half, train_rows: Int64, test: Int64, rng: np.random.Generator) -> float:
    """Recall@1 among the test texts; a word weighs the deviation of its chances over classes."""
    rows = _unit(half.counts[test] * _log_chances(half, train_rows).std(axis=0))
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -2)
    labels = half.labels[test]
    return float((labels[cosines.argmax(axis=1)] == labels).mean())


def encoder(half: Half, train_rows: Int64, test: Int64, rng: np.random.Generator) -> float:
    """Accuracy of the head of a bag encoder that cross-entropy has trained."""
    tokens = (half.words + 1).astype(np.int32)
    offsets = np.arange(len(tokens) + 1) * LENGTH
    rows = LabelledTokens(RaggedTokens(tokens.ravel(), offsets), half.labels.astype(np.int32))
    nothing = rows.take([])
    vocabulary = Vocabulary(["<unk>", *(f"word{number}" for number in range(WORDS))])
    names = [str(label) for label in range(CLASSES)]
    model = train(
        TokenizedCorpus(vocabulary, names, rows.take(train_rows), nothing, nothing),
        family=Family.CLASSIFICATION,
        objective={"name": "cross_entropy"},
        sampler="shuffled",
        model=Model(dim=16),
        settings=Train(epochs=4, lr=0.3, device="cpu"),
        seed=int(rng.integers(1 << 32)),
        device=torch.device("cpu"),
    ).model
    tested = rows.take(test)
    return float((model.predict_head(model.embed(tested.tokens)) == tested.labels).mean())


def _unit(rows: Float64) -> Float64:
    norms: Float64 = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, 1e-12))


LEARNERS: dict[str, Learner] = {
    "naive_bayes": naive_bayes,
    "half": of_half,
    "neighbour": neighbour,
    "retrieval": retrieval,
    "encoder": encoder,
    "seeds": of_half,
}
QUICK = [name for name in LEARNERS if name != "encoder"]


class Coverage(NamedTuple):
    """What the comparisons of one learner gave.

    Attributes:
        corrected: the share of the corrected intervals that hold 0.
        uncorrected: the share of those of a paired t test.
        half_width: the mean of half of the corrected intervals.
        score: the mean of all scores.
    """

    corrected: float
    uncorrected: float
    half_width: float
    score: float


def coverage(
    name: str, comparisons: int, *, splits: int = SPLITS, rows: int = ROWS, seed: int = 0
) -> Coverage:
    """Compare a learner with its twin on samples of many populations.

    Args:
        name: of the learner.
        comparisons: how many populations.
        splits: of each comparison.
        rows: of each sample.
        seed: of everything.

    Raises:
        UserError: there is no such learner.
    """
    if name not in LEARNERS:
        raise unknown_name("learner", name, LEARNERS)
    learner = LEARNERS[name]
    tests = round(TEST * rows)
    holds = np.zeros((comparisons, 2), dtype=bool)
    widths, scores = np.empty(comparisons), np.empty((comparisons, splits, 2))
    for place, rng in enumerate(np.random.default_rng(seed).spawn(comparisons)):
        first, second = draw(rows, rng)
        second = first if name == "seeds" else second
        for split in range(splits):
            order = rng.permutation(rows)
            test, rest = order[:tests], order[tests:]
            scores[place, split] = [learner(half, rest, test, rng) for half in (first, second)]
        for column, ratio in enumerate((TEST / (1 - TEST), 0.0)):
            found = paired_difference(
                scores[place, :, 0], scores[place, :, 1], grain=1 / tests, test_to_train=ratio
            )
            holds[place, column] = found.low <= 0 <= found.high
            if not column:
                widths[place] = found.high - found.mean
    corrected, uncorrected = holds.mean(axis=0).tolist()
    return Coverage(corrected, uncorrected, float(widths.mean()), float(scores.mean()))


def main(arguments: argparse.Namespace) -> None:
    """Print a table, a row a learner."""
    if arguments.comparisons < 1 or arguments.rows < 50:
        raise UserError("--comparisons must be at least 1, and --rows at least 50")
    lines = []
    for name in arguments.learners:
        found = coverage(name, arguments.comparisons, rows=arguments.rows, seed=arguments.seed)
        held = round(found.corrected * arguments.comparisons)
        _, low, high = share_interval(held, arguments.comparisons)
        lines.append(
            [
                name,
                f"{found.corrected:.1%} [{low:.1%}, {high:.1%}]",
                f"{found.uncorrected:.1%}",
                f"{found.half_width:.3f}",
                f"{found.score:.2f}",
            ]
        )
    head = ["learner", "coverage, corrected", "not corrected", "half of the interval", "score"]
    print(table(head, lines))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("studies.coverage", __doc__)
    made.add_argument(
        "--learners",
        nargs="+",
        default=QUICK,
        choices=list(LEARNERS),
        metavar="NAME",
        help="which (all except encoder, which takes minutes)",
    )
    made.add_argument("--comparisons", type=int, default=1000, help="(%(default)s)")
    made.add_argument("--rows", type=int, default=ROWS, help="of each sample (%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    return made


if __name__ == "__main__":
    command.run(main, parser())
