"""What makes an objective good: width, binary codes, layer norm, classes in a batch.

Zhai & Wu 2018, "Classification is a Strong Baseline for Deep Metric Learning" (arXiv 1811.12649),
asked this of images; here it is text and the small encoder of this project. Four parts:

  widths      objectives at several widths, Recall@1, 10 and 100
  codes       the same trainings, each dimension cut to one bit, by Hamming distance
  layer_norm  norm_softmax with and without its layer norm: loss by step, and Recall
  classes     batches of all classes, of half of them, and so on down to two

Each finished training is a small file, named by a hash of all it depends on: the job can be
interrupted, and a second run does only what is missing. Writes ablations.md, which ends
with the paper's conclusions next to what was found, and a picture a part.
With --vectors all is trained a second time from given token vectors, at each width their principal
components. This goes to ablations-given.md, which ends with the conclusions from both starts.

By default a dozen objectives at widths of 16, 64, 256 and 512 on the docstrings by module, trained
on half of the labels and measured on the others, as the paper does.

Examples:
    python -m studies.ablations
    python -m studies.ablations --parts layer_norm classes --corpus docstrings --open 0
    python -m studies.ablations --vectors all-MiniLM-L6-v2 --widths 8 64 256
    python -m studies.ablations --widths 16 32 64 128 256 512 --seeds 0 1 2 3 4
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studies import charts, conclusions, options
from studies.inputs import load_tokenized, store, store_vectors
from studies.trials import Result, Trial, run_trials
from textmetric import command, splits
from textmetric.command import INTERACTIVE
from textmetric.encoders import token_vectors
from textmetric.encoders.vectors import reduced
from textmetric.errors import UserError, unknown_name
from textmetric.files import replacing_file
from textmetric.grid import Family
from textmetric.losses import Objective, build
from textmetric.measures import mean_interval
from textmetric.params import Params
from textmetric.report.formats import plain, table, with_interval
from textmetric.report.original import corpus_title
from textmetric.text import TokenizedCorpus, TokenVectors

WIDTHS = [16, 64, 256, 512]
# The objectives unless others are named: with a head, with proxies, and those that compare rows.
# Left out are those that take ten times as long or draw batches of their own.
MANY = [
    "cross_entropy",
    "norm_softmax",
    "proxy_nca",
    "angular",
    "contrastive",
    "lifted",
    "multi_similarity",
    "n_pair",
    "quadruplet",
    "ranked_list",
    "sup_con",
    "triplet",
]
# Of the classes in a batch fewer are asked.
FEW = ["cross_entropy", "norm_softmax", "proxy_nca", "triplet", "multi_similarity", "sup_con"]
RECALLS = {f"recall_at_{k}": f"Recall@{k}" for k in (1, 10, 100)}
FLOATS = RECALLS | {"map_at_r": "MAP@R"}
BITS = {f"hamming_{name}": f"{title}, binary" for name, title in FLOATS.items()}
TITLES = {"ablations": "Ablations", "ablations-given": "Ablations from given token vectors"}
LOSS_WINDOW = 50
"""The number of steps over which losses are smoothed."""

Arm = dict[str, Any]
"""What identifies one line of a part's table: column → value."""


class Study:
    """One corpus, and the trainings on it.

    Args:
        arguments: of the command line.
        given: the token vectors to start from; None for random ones.

    Attributes:
        arguments: the same.
        given: the same.
        params: params.yaml with the options in it.
        corpus: tokenised.
        name: of the corpus.
        found: part → its lines, of the parts that have run.
    """

    def __init__(self, arguments: argparse.Namespace, given: TokenVectors | None = None) -> None:
        self.arguments = arguments
        self.given = given
        self.params: Params = options.read_params(arguments)
        spec = options.mapping_or_name(arguments.corpus)
        self.corpus: TokenizedCorpus
        self.corpus, summary = load_tokenized(
            spec,
            self.params.data,
            given=None if given is None else given.vocabulary,
            progress=INTERACTIVE,
        )
        if arguments.open:
            self.corpus = splits.open_classes(self.corpus, arguments.open, self.params.data.seed)
        self.name = corpus_title(summary)
        self.found: dict[str, list[tuple[Arm, list[Result]]]] = {}
        self._folder = store(self.corpus, arguments.results / "corpora")

    def train(
        self, arms: Sequence[tuple[Arm, options.Chosen, dict[str, Any]]], part: str
    ) -> list[tuple[Arm, list[Result]]]:
        """The results of every arm, one a seed, which ``found`` then holds.

        Args:
            arms: its columns, its objective, and what else sets its trials apart: ``dim``,
                ``losses`` or ``classes_per_batch``.
            part: the text before the progress bar; the part of that name is trained once.
        """
        if part in self.found:
            return self.found[part]
        seeds = self.arguments.seeds
        dims = [changes.get("dim", self.params.model.dim) for *_, changes in arms]
        vectors = {dim: self._vectors(dim) for dim in dict.fromkeys(dims)}
        trials = [
            Trial(
                corpus=self._folder,
                family=family,
                objective=objective,
                sampler=self.arguments.sampler,
                model=self.params.model.model_copy(update={"dim": dim}),
                settings=self.params.train,
                seed=seed,
                neighbours=self.params.evaluate.neighbours,
                losses=changes.get("losses", False),
                classes_per_batch=changes.get("classes_per_batch"),
                vectors=vectors[dim],
            )
            for (_, (family, objective), changes), dim in zip(arms, dims, strict=True)
            for seed in seeds
        ]
        results = run_trials(
            trials,
            self.arguments.results / "trials",
            label=part.replace("_", " "),
            progress=INTERACTIVE,
        )
        self.found[part] = [
            (arm, results[place * len(seeds) : (place + 1) * len(seeds)])
            for place, (arm, *_) in enumerate(arms)
        ]
        return self.found[part]

    def _vectors(self, dim: int) -> Path | None:
        if self.given is None:
            return None
        values = reduced(self.given.values, dim)
        folder: Path = self.arguments.results / "vectors"
        return store_vectors(TokenVectors(self.given.vocabulary, values), folder)

    @property
    def name_of_files(self) -> str:
        """What the names of the page and of its pictures begin with."""
        return "ablations" if self.given is None else "ablations-given"

    def picture(self, part: str) -> Path:
        """The file of a part's picture."""
        return Path(self.arguments.out) / f"{self.name_of_files}-{part}.png"

    def shown(self, part: str, alt: str) -> str:
        """The Markdown that shows a part's picture."""
        return f"![{alt}]({self.picture(part).name})"

    def claims(self) -> list[conclusions.Claim]:
        """The paper's conclusions that the parts which have run can speak to."""
        parts = ("widths", "layer_norm", "classes")
        return conclusions.claims(*(self.found.get(part, []) for part in parts))


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the page and the pictures."""
    for part in arguments.parts:
        if part not in PARTS:
            raise unknown_name("part", part, PARTS)
    if min(arguments.widths) < 1:
        raise UserError(f"--widths is {arguments.widths}, expected widths from 1")
    if not 0 <= arguments.open < 1:
        raise UserError(f"--open is {arguments.open}, expected a share of the labels below 1")
    starts = {"random": Study(arguments)}
    if arguments.vectors is not None:
        given = token_vectors(arguments.vectors, progress=INTERACTIVE)
        starts["given vectors"] = Study(arguments, given)
    for place, study in enumerate(starts.values(), start=1):
        sections = [PARTS[part](study) for part in PARTS if part in arguments.parts]
        if held := study.claims():
            sections.append(conclusions.page(held))
            if place > 1:
                by_start = {name: one.claims() for name, one in starts.items()}
                sections.append(conclusions.by_start(by_start))
        text = "\n\n".join([f"# {TITLES[study.name_of_files]}\n\n{about(study)}", *sections])
        page = arguments.out / f"{study.name_of_files}.md"
        with replacing_file(page) as path:
            path.write_text(text + "\n", encoding="utf-8")
        print(page)


def about(study: Study) -> str:
    """What was trained on what, in a few sentences."""
    corpus, train = study.corpus, study.params.train
    labels = f"{len(corpus.label_names)} classes"
    if corpus.unseen:
        labels = (
            f"trained on {len(corpus.trained_labels)} classes and measured on "
            f"{len(corpus.unseen)} others"
        )
    start = (
        ""
        if study.given is None
        else f"All encoders start from the token vectors of `{study.arguments.vectors}`, at each "
        "width their principal components; [ablations.md](ablations.md) starts from random ones. "
    )
    return (
        f"{start}On {plain(study.name)}: {labels}, {len(corpus.train):,} train "
        f"and {len(corpus.test):,} test rows, {train.epochs} epochs of {train.optimizer} with "
        f"learning rate {train.lr:g}, batches of {train.batch_size} {study.arguments.sampler}, "
        f"{study.params.model.dim} dimensions where nothing else is said, each objective with its "
        f"default parameters. Mean ± half of the 95 % interval over {len(study.arguments.seeds)} "
        "seeds, on the test part. The questions are those of Zhai & Wu 2018 ([arXiv 1811.12649]"
        "(https://arxiv.org/abs/1811.12649)); `python -m studies.ablations` writes this page."
    )


def _of_widths(study: Study) -> list[tuple[Arm, list[Result]]]:
    return study.train(
        [
            (
                {"objective": options.title(objective), "width": width},
                (family, objective),
                {"dim": width},
            )
            for family, objective in options.chosen_objectives(study.arguments.objectives or MANY)
            for width in study.arguments.widths
        ],
        "widths",
    )


def widths(study: Study) -> str:
    """Objectives at several widths."""
    found = _of_widths(study)
    charts.lines(
        study.picture("widths"), _long(found, RECALLS), RECALLS, x="width", label="dimensions"
    )
    return (
        "## Width\n\nRecall@k: is a row of the class among the k nearest?\n\n"
        f"{_table(found, FLOATS)}\n\n"
        + study.shown("widths", "Recall@1, 10 and 100 by width")
        + _failures(found)
    )


def codes(study: Study) -> str:
    """The trainings of :func:`widths`, measured as floats and as bits."""
    found = _of_widths(study)
    panels = {"recall_at_1": "Recall@1, float", "hamming_recall_at_1": "Recall@1, binary"}
    values = _long(found, panels)
    charts.lines(
        study.picture("codes"), values, panels, x="width", label="dimensions", one_scale=True
    )
    return (
        "## Binary codes\n\nThe same trainings with one bit a dimension: is the value above the "
        "mean of its row? Rows are compared by Hamming distance, ties are broken at random. A "
        "code takes 1/32 of the memory of the floats.\n\n"
        f"{_table(found, {'recall_at_1': 'Recall@1, float'} | BITS)}\n\n"
        + study.shown("codes", "Recall@1 by width, of floats and of bits")
    )


def layer_norm(study: Study) -> str:
    """norm_softmax with and without its layer norm."""
    found = study.train(
        [
            (
                {"objective": "norm_softmax", "layer norm": "with" if normed else "without"},
                (Family.CLASSIFICATION, {"name": "norm_softmax", "layer_norm": normed}),
                {"losses": True},
            )
            for normed in (True, False)
        ],
        "layer_norm",
    )
    curves = {
        f"{arm['layer norm']} layer norm": np.array([result.losses for result in results])
        for arm, results in found
        if not any(result.error for result in results)
    }
    charts.losses_by_step(study.picture("layer-norm"), curves, LOSS_WINDOW)
    last = {
        id(results): mean_interval(
            [float(np.mean(result.losses[-LOSS_WINDOW:] or [math.nan])) for result in results]
        )
        for _, results in found
    }
    columns = {f"loss, last {LOSS_WINDOW} steps": [with_interval(last[id(r)]) for _, r in found]}
    return (
        "## Layer norm\n\n"
        f"{_table(found, FLOATS, columns)}\n\n"
        + study.shown("layer-norm", "the loss by step with and without layer norm")
        + _failures(found)
    )


def classes(study: Study) -> str:
    """Batches of fewer and fewer classes."""
    batch, known = study.params.train.batch_size, len(study.corpus.trained_labels)
    most = min(known, batch // 2)
    numbers = [
        most,
        *(2**power for power in range(most.bit_length() - 1, 0, -1) if 2**power < most),
    ]
    chosen = options.chosen_objectives(study.arguments.objectives or FEW)
    found = study.train(
        [
            (
                {"objective": options.title(objective), "classes a batch": number},
                (family, objective),
                {"classes_per_batch": number},
            )
            for family, objective in chosen
            if not _brings_batches(family, objective)
            for number in numbers
        ],
        "classes",
    )
    charts.lines(
        study.picture("classes"),
        _long(found, FLOATS),
        {name: FLOATS[name] for name in ("recall_at_1", "map_at_r")},
        x="classes a batch",
        label="classes a batch",
    )
    return (
        f"## Classes in a batch\n\nBatches of {batch} rows, evenly of this many classes.\n\n"
        f"{_table(found, FLOATS)}\n\n"
        + study.shown("classes", "Recall@1 and MAP@R by the number of classes in a batch")
        + _failures(found)
    )


PARTS: dict[str, Callable[[Study], str]] = {
    "widths": widths,
    "codes": codes,
    "layer_norm": layer_norm,
    "classes": classes,
}


def _brings_batches(family: Any, objective: dict[str, Any]) -> bool:
    built = build(family, objective, dim=4, classes=2)
    return type(built).batches is not Objective.batches


def _interval(results: Sequence[Result], measure: str) -> tuple[float, float, float]:
    return mean_interval([result.measures.get(measure, math.nan) for result in results])


def _long(found: Sequence[tuple[Arm, list[Result]]], measures: dict[str, str]) -> pd.DataFrame:
    """A row an arm and measure: the columns of the arm, line, measure, mean, low, high."""
    return pd.DataFrame(
        [
            arm
            | {"line": arm["objective"], "measure": measure}
            | dict(zip(("mean", "low", "high"), _interval(results, measure), strict=True))
            for arm, results in found
            for measure in measures
        ]
    )


def _table(
    found: Sequence[tuple[Arm, list[Result]]],
    measures: dict[str, str],
    more: dict[str, list[str]] | None = None,
) -> str:
    more = more or {}
    lines = [
        [plain(str(value)) for value in arm.values()]
        + [with_interval(_interval(results, measure)) for measure in measures]
        + [cells[place] for cells in more.values()]
        for place, (arm, results) in enumerate(found)
    ]
    return table([*found[0][0], *measures.values(), *more], lines)


def _failures(found: Sequence[tuple[Arm, list[Result]]]) -> str:
    lines = [
        f"- {', '.join(plain(str(value)) for value in arm.values())}: {plain(errors[0])}"
        for arm, results in found
        if (errors := [result.error for result in results if result.error])
    ]
    if not lines:
        return ""
    head = "\n\nTrainings that ended early, so that the line has no value:\n\n"
    return head + "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = options.parser(
        "studies.ablations", __doc__, objectives="a choice of the quicker ones", out="docs"
    )
    made.set_defaults(corpus="docstring_modules")
    made.add_argument(
        "--open",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="train on so large a share of the labels, measure on the others; 0: on all the same "
        "labels (%(default)s)",
    )
    made.add_argument(
        "--vectors", metavar="NAME", help="also start from given vectors, see docs/encoders.md"
    )
    made.add_argument(
        "--parts", nargs="+", default=list(PARTS), metavar="PART", help=f"({' '.join(PARTS)})"
    )
    made.add_argument(
        "--widths",
        nargs="+",
        type=int,
        default=WIDTHS,
        help=f"({' '.join(map(str, WIDTHS))})",
    )
    return made


if __name__ == "__main__":
    command.run(main, parser(), after_interrupt=options.AFTER_INTERRUPT)
