r"""Is a text recognised? Verification, few shots, texts out of scope, honest probabilities.

Both families are trained with both samplers, on all classes of each corpus and on some of them. On
all classes: are two texts of one class, do clusters match classes, are probabilities right as often
as they say, and are texts out of scope noticed, if there are any. On some classes: the same pairs,
few shots of the others, and are the others noticed as foreign. Each measure is also by the
Euclidean distance, where an objective may have trained that. Next to them are TF-IDF (256
components, with logistic regression for probabilities) and the untrained encoder.

Each finished training is a small file, named by a hash of all it depends on: the job can be
interrupted, and a second run does only what is missing. Writes recognition.md and recognition.png.

Examples:
    python -m studies.recognition
    python -m studies.recognition --seeds 0 1 2 3 4 5 6 --corpora reviews.csv \
        '{path: intents, out_of_scope: intents/oos_test.csv.gz}'
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.utils.extmath import randomized_svd

from studies import options
from studies.inputs import load_tokenized, store
from studies.names import name_of
from textmetric import command, measures, parallel
from textmetric.command import INTERACTIVE
from textmetric.encoders import build_encoder
from textmetric.errors import UserError
from textmetric.files import read_json, replacing_file, write_json
from textmetric.grid import Arm, Baseline
from textmetric.losses import build, module_of
from textmetric.measures import Paired, mean_interval, over_classes, simultaneous_differences
from textmetric.measures.distances import Distance
from textmetric.measures.few_shot import EPISODES
from textmetric.params import Model, Params, Train, read
from textmetric.pipeline.measure_baselines import fit_tfidf
from textmetric.report.blocks import Judgement
from textmetric.report.figures import reliability_diagram
from textmetric.report.formats import (
    MISSING,
    cell_text,
    difference,
    number,
    plain,
    table,
    with_interval,
)
from textmetric.report.names import Measure, arm_title, pairs, side_title
from textmetric.report.original import corpus_title
from textmetric.splits import open_classes
from textmetric.text import LabelledTokens, TokenizedCorpus, Tokens
from textmetric.training.device import choose_device
from textmetric.training.loop import first_encoder, one_thread, train, warm_up
from textmetric.types import Float64, Floats

SHARE = 0.5
"""Of the classes, those that are trained on or held out for validation."""
SHOTS = (1, 5)
COMPONENTS = 256
FALSE_ACCEPTS = 0.01
STARTS = 3
"""Of k-means."""
BY: dict[Distance, str] = {"cosine": "", "euclidean": ", Euclidean"}


def _both(key: str, name: str, large_is_good: bool = True) -> list[Measure]:
    return [
        Measure(f"{key}_{distance}", f"{name}{words}", large_is_good)
        for distance, words in BY.items()
    ]


class Topic(NamedTuple):
    """A table: its title, what it says, and its measures."""

    title: str
    about: str
    measures: list[Measure]


TOPICS = (
    Topic(
        "Verification",
        "Pairs of test texts, of one class or of two: the chance that the former are nearer, the "
        "equal error rate, and the share of the pairs of one class that are missed at the "
        f"threshold with {FALSE_ACCEPTS:.0%} false accepts on validation. Seen classes: trained on "
        "all classes. New classes: those that were not trained on.",
        [
            *_both("verification_auc", "AUC, seen classes"),
            *_both("verification_eer", "EER, seen classes", large_is_good=False),
            *_both("false_rejects", "missed, seen classes", large_is_good=False),
            *_both("new_verification_auc", "AUC, new classes"),
            *_both("new_verification_eer", "EER, new classes", large_is_good=False),
            *_both("new_false_rejects", "missed, new classes", large_is_good=False),
        ],
    ),
    Topic(
        "Few shots",
        "5 classes that were not trained on, 1 or 5 examples of each, 15 queries of each; the "
        "episodes are the same for every model.",
        [
            measure
            for shots in SHOTS
            for measure in _both(f"{shots}_shot", f"{shots}-shot accuracy")
        ],
    ),
    Topic(
        "Out of scope",
        "The chance that a text out of scope looks more foreign than a test text of a trained "
        "class: by its distance to the nearest centroid, by one minus its largest probability, by "
        "the energy of the head. Out of scope are texts of the corpus that belong to no class, or "
        "test texts of classes that were not trained on. A text without a known token is out of "
        "scope by definition.",
        [
            *_both("foreign_distance", "no class, by distance"),
            Measure("foreign_probability", "no class, by probability"),
            Measure("foreign_energy", "no class, by energy"),
            *_both("new_distance", "new class, by distance"),
            Measure("new_probability", "new class, by probability"),
            Measure("new_energy", "new class, by energy"),
        ],
    ),
    Topic(
        "Probabilities",
        "Of the head where there is one, else softmax of minus the distance to the centroids; each "
        "with a temperature fitted on validation, so that no model is too sure by itself.",
        [
            Measure("accuracy", "accuracy"),
            Measure("ece", "calibration error", large_is_good=False),
            Measure("brier", "Brier score", large_is_good=False),
            Measure("nll", "negative log-likelihood", large_is_good=False),
        ],
    ),
    Topic(
        "Clusters",
        "k-means with as many clusters as classes against the classes of the test part.",
        [*_both("ami", "AMI"), *_both("ari", "ARI")],
    ),
)


@dataclass(frozen=True)
class Job:
    """One training and its measures: everything its result depends on.

    Attributes:
        corpus: folder of a tokenised corpus, named by a hash of its contents.
        split: folder of its open split, alike; None to train on all classes.
        foreign: file of texts out of scope, named by a hash of them; None for none.
        side: an arm, or a baseline.
        objective: its name and the parameters that were given; empty for a baseline.
        model: the encoder.
        settings: the loop.
        seed: of the training.
        episodes: of few shots.
    """

    corpus: Path
    split: Path | None
    foreign: Path | None
    side: Arm | Baseline
    objective: dict[str, Any]
    model: Model
    settings: Train
    seed: int
    episodes: int = EPISODES

    def key(self) -> str:
        """The name of the result: a hash of the above and of the code that counts."""
        modules = ["studies.recognition"]
        if isinstance(self.side, Arm):
            modules.append(module_of(self.side.family, self.objective))
        parts = [
            self.corpus.name,
            None if self.split is None else self.split.name,
            None if self.foreign is None else self.foreign.name,
            str(self.side),
            self.objective,
            self.model.model_dump(),
            self.settings.model_dump(),
            self.seed,
            self.episodes,
        ]
        return name_of(parts, *modules)


class Space(NamedTuple):
    """What is measured of a side.

    Attributes:
        embed: from the tokens of n texts to (n, d).
        logits: from the same to (n, C); None without a head.
        energy: whether the sum of exp of the logits says something.
    """

    embed: Callable[[Tokens], Floats]
    logits: Callable[[Tokens], Floats] | None = None
    energy: bool = False


def space_of(job: Job, corpus: TokenizedCorpus) -> Space:
    """Train what the job names on the train part of a corpus.

    Raises:
        UserError: the training diverged or collapsed.
    """
    if job.side is Baseline.UNTRAINED:
        return Space(first_encoder(corpus, job.model, job.seed).embed)
    if job.side is Baseline.TFIDF:
        return _tfidf(corpus)
    assert isinstance(job.side, Arm)
    model = train(
        # measuring validation after each epoch takes time, and nothing is chosen by it
        replace(corpus, validation=corpus.validation.take([])),
        family=job.side.family,
        objective=job.objective,
        sampler=job.side.sampler,
        model=job.model,
        settings=job.settings,
        seed=job.seed,
        device=choose_device(job.settings.device, "train.device"),
    ).model
    head = model.head
    if head is None:
        return Space(model.embed)

    def logits(tokens: Tokens) -> Floats:
        with torch.no_grad():
            found: Floats = head.logits(torch.from_numpy(model.embed(tokens))).numpy()
        return found

    return Space(model.embed, logits, energy=True)


def _tfidf(corpus: TokenizedCorpus) -> Space:
    seen = replace(corpus, unseen=[])  # whose labels are those of the train part all the same
    tfidf, vectors, classifier = fit_tfidf(seen)
    rank = min(COMPONENTS, *vectors.shape)
    _, _, directions = randomized_svd(vectors, rank, n_iter=4, random_state=0)

    def embed(tokens: Tokens) -> Floats:
        return np.asarray(tfidf.vectors(tokens) @ directions.T)

    def logits(tokens: Tokens) -> Floats:
        chances = classifier.predict_proba(tfidf.vectors(tokens))
        found = np.full((len(chances), len(corpus.trained_labels)), -np.inf)
        found[:, classifier.classes_] = np.log(np.maximum(chances, 1e-12))
        return found

    return Space(embed, logits)


class Found(NamedTuple):
    """What a job leaves: measures by key, and what the page shows of one seed or episode."""

    measures: dict[str, float]
    episodes: dict[str, list[float]]
    reliability: list[list[float]]
    confused: list[list[Any]]
    error: str | None = None


def measure(job: Job) -> Found:
    """Train a job's side and measure it."""
    whole = TokenizedCorpus.load(job.corpus)
    corpus = whole if job.split is None else TokenizedCorpus.load(job.split)
    try:
        space = space_of(job, corpus)
    except UserError as error:
        return Found({}, {}, [], [], str(error))
    with one_thread():
        if job.split is None:
            foreign = _foreign(job.foreign, corpus)
            return _of_seen_classes(space, corpus, foreign)
        return _of_new_classes(space, corpus, whole, job.episodes)


def _foreign(file: Path | None, corpus: TokenizedCorpus) -> Tokens | None:
    return None if file is None else corpus.vocabulary.encode(read_json(file))


def _of_seen_classes(space: Space, corpus: TokenizedCorpus, foreign: Tokens | None) -> Found:
    test, labels = space.embed(corpus.test.tokens), np.asarray(corpus.test.labels)
    validation = space.embed(corpus.validation.tokens), np.asarray(corpus.validation.labels)
    found = _verification(validation, (test, labels), "")
    for distance in BY:
        clusters = measures.clustering(test, labels, distance=distance, starts=STARTS)
        found |= {f"ami_{distance}": clusters.ami, f"ari_{distance}": clusters.ari}
    predictor = _Predictor(space, corpus, corpus.validation)
    chances = predictor.probabilities(corpus.test.tokens)
    found |= {
        "accuracy": float((chances.argmax(axis=1) == labels).mean()),
        "ece": measures.expected_calibration_error(chances, labels),
        "brier": measures.brier_score(chances, labels),
        "nll": measures.negative_log_likelihood(chances, labels),
    }
    if foreign is not None:
        found |= predictor.noticed(corpus.test.tokens, foreign, "foreign")
    bins = measures.reliability(chances, labels)
    confused = measures.confused_classes(
        test, labels, predictor.centroids["cosine"], predicted=chances.argmax(axis=1), top=3
    )
    return Found(
        found,
        {},
        [values.tolist() for values in bins],
        [
            [corpus.label_names[pair.first], corpus.label_names[pair.second], *pair[2:]]
            for pair in confused
        ],
    )


def _of_new_classes(
    space: Space, corpus: TokenizedCorpus, whole: TokenizedCorpus, episodes: int
) -> Found:
    test = space.embed(corpus.test.tokens), np.asarray(corpus.test.labels)
    validation = space.embed(corpus.validation.tokens), np.asarray(corpus.validation.labels)
    found = _verification(validation, test, "new_")
    by_episode: dict[str, list[float]] = {}
    for shots in SHOTS:
        for distance in BY:
            few = measures.few_shot(*test, shots=shots, distance=distance, episodes=episodes)
            found[f"{shots}_shot_{distance}"] = few.accuracy
            by_episode[f"{shots}_shot_{distance}"] = few.by_episode.tolist()
    trained = range(len(corpus.trained_labels))
    predictor = _Predictor(space, corpus, rows_of(whole.validation, whole, corpus, trained))
    inside = rows_of(whole.test, whole, corpus, trained)
    outside = rows_of(whole.test, whole, corpus, corpus.unseen)
    found |= predictor.noticed(inside.tokens, outside.tokens, "new")
    return Found(found, by_episode, [], [])


def rows_of(
    rows: LabelledTokens, whole: TokenizedCorpus, split: TokenizedCorpus, labels: Sequence[int]
) -> LabelledTokens:
    """The rows of some labels of a split, from a part of its corpus.

    Args:
        rows: a part of ``whole``.
        whole: the corpus.
        split: its open split, with other ids of labels and tokens.
        labels: ids of the split.

    Returns:
        The rows, with the ids of the split.
    """
    known = split.vocabulary.ids
    new_tokens = np.array([known.get(token, 0) for token in whole.vocabulary.tokens], np.int32)
    place = {name: label for label, name in enumerate(split.label_names)}
    new_labels = np.array([place[name] for name in whole.label_names], np.int32)[rows.labels]
    found = LabelledTokens(rows.tokens.remap(new_tokens), new_labels)
    return found.take(np.flatnonzero(np.isin(new_labels, list(labels))))


def _verification(
    validation: tuple[Floats, Any], test: tuple[Floats, Any], prefix: str
) -> dict[str, float]:
    found: dict[str, float] = {}
    for distance in BY:
        pairs_ = measures.verification(*test, distance=distance)
        found[f"{prefix}verification_auc_{distance}"] = pairs_.auc
        found[f"{prefix}verification_eer_{distance}"] = pairs_.eer
        found[f"{prefix}false_rejects_{distance}"] = measures.operating_point(
            validation, test, false_accepts=FALSE_ACCEPTS, distance=distance
        ).false_rejects
    return found


class _Predictor:
    """Probabilities of a space, and how foreign texts look to it.

    Args:
        space: what is measured.
        corpus: whose train part gives the centroids.
        held_out: rows of trained classes that give the temperature.
    """

    def __init__(self, space: Space, corpus: TokenizedCorpus, held_out: LabelledTokens) -> None:
        self._space = space
        rows, classes = corpus.train, len(corpus.trained_labels)
        embeddings = space.embed(rows.tokens)
        self.centroids: dict[Distance, Float64] = {
            distance: measures.class_centroids(embeddings, rows.labels, classes, distance)
            for distance in BY
        }
        self._temperature = measures.fit_temperature(self._scores(held_out.tokens), held_out.labels)

    def _scores(self, tokens: Tokens) -> Floats:
        if self._space.logits is not None:
            return self._space.logits(tokens)
        return -measures.centroid_distances(self.centroids["cosine"], self._space.embed(tokens))

    def probabilities(self, tokens: Tokens) -> Float64:
        """(n, C) of n texts."""
        return measures.softmax(self._scores(tokens), self._temperature)

    def _distance(self, distance: Distance, tokens: Tokens) -> Float64:
        return measures.distance_score(
            self.centroids[distance], self._space.embed(tokens), distance
        )

    def noticed(self, inside: Tokens, outside: Tokens, prefix: str) -> dict[str, float]:
        """The AUC of each score for the texts ``outside`` against those ``inside``."""
        parts = (inside, outside)
        foreign = np.repeat([False, True], [len(part) for part in parts])
        without = np.concatenate([part.lengths == 0 for part in parts])

        def auc(score: Callable[[Tokens], Floats]) -> float:
            scores = np.concatenate([score(part) for part in parts])
            return measures.out_of_scope_auc(scores, foreign, without)

        found = {
            f"{prefix}_distance_{distance}": auc(partial(self._distance, distance))
            for distance in BY
        }
        found[f"{prefix}_probability"] = auc(
            lambda part: measures.probability_score(self.probabilities(part))
        )
        logits = self._space.logits
        if logits is not None and self._space.energy:
            found[f"{prefix}_energy"] = auc(lambda part: measures.energy_score(logits(part)))
        return found


def run_jobs(jobs: Sequence[Job], results: Path) -> list[Found]:
    """What the jobs leave, in their order; those in the folder are read, the others done."""
    files = [results / f"{job.key()}.json" for job in jobs]
    missing = parallel.unfinished(jobs, files)
    for job in {job.side: job for job, _ in missing}.values():
        if isinstance(job.side, Arm):
            warm_up(
                build_encoder(job.model, 2),
                build(job.side.family, job.objective, dim=job.model.dim, classes=2),
                job.settings,
            )
    parallel.finish(_run, jobs, files, label="recognition", unit="training", progress=INTERACTIVE)
    return [Found(**read_json(file)) for file in files]


def _run(job: tuple[Job, Path], tick: Callable[[], None]) -> None:
    given, file = job
    write_json(file, measure(given)._asdict())
    tick()


class Corpus(NamedTuple):
    """A corpus of the study: its title, its folders, and how large it is in words."""

    title: str
    whole: Path
    split: Path
    foreign: Path | None
    size: str


def read_corpus(word: str, params: Params, results: Path) -> Corpus:
    """Read, cut and store a corpus.

    Args:
        word: as ``--corpora`` has it; a mapping may have ``out_of_scope``, a table with the column
            ``text``.
        params: how rows and tokens are chosen.
        results: folder of the study.

    Raises:
        UserError: see :func:`.load_tokenized` and :func:`.open_classes`; the table of texts out of
            scope cannot be read.
    """
    spec, foreign = options.mapping_or_name(word), None
    if isinstance(spec, dict) and "out_of_scope" in spec:
        spec = dict(spec)
        foreign = _stored_texts(Path(str(spec.pop("out_of_scope"))), results / "foreign")
    corpus, summary = load_tokenized(spec, params.data, progress=INTERACTIVE)
    split = open_classes(corpus, SHARE, params.data.seed)
    folder = results / "corpora"
    size = (
        f"{len(corpus.label_names)} classes, {len(corpus.train):,} train and "
        f"{len(corpus.test):,} test texts; of the classes, {len(split.trained_labels)} are trained "
        f"on where {len(split.unseen)} are new, and {len(split.held_out)} are held out for "
        "validation"
    )
    if foreign is not None:
        size += f"; {len(read_json(foreign)):,} texts out of scope"
    return Corpus(corpus_title(summary), store(corpus, folder), store(split, folder), foreign, size)


def _stored_texts(table_: Path, folder: Path) -> Path:
    try:
        frame = pd.read_csv(table_, keep_default_na=False)
        texts = [str(text) for text in frame["text"]]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{table_} cannot be read as a csv table with the column text ({error}): correct "
            "out_of_scope"
        ) from None
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:24]
    path = folder / f"{digest}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, texts)
    return path


Values = Mapping[tuple[str, Arm | Baseline], list[Found]]
"""Title of a corpus, side → what each seed left, both trainings joined."""


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the page and the picture."""
    params = read(arguments.params)
    if min(arguments.seeds) < 0 or len(set(arguments.seeds)) < len(arguments.seeds):
        raise UserError(f"--seeds is {arguments.seeds}: give different whole numbers from 0")
    if arguments.epochs is not None:
        if arguments.epochs < 1:
            raise UserError(f"--epochs is {arguments.epochs}, expected at least 1")
        settings = params.train.model_copy(update={"epochs": arguments.epochs})
        params = params.model_copy(update={"train": settings})
    corpora = [read_corpus(word, params, arguments.results) for word in arguments.corpora]
    if len({corpus.title for corpus in corpora}) < len(corpora):
        raise UserError("--corpora names two corpora of one name: rename one of the files")
    sides: list[Arm | Baseline] = [*params.arms, *Baseline]
    places = [
        (corpus, side, seed)
        for corpus in corpora
        for side in sides
        for seed in (arguments.seeds[:1] if side is Baseline.TFIDF else arguments.seeds)
    ]
    jobs = [
        Job(
            corpus.whole,
            split,
            corpus.foreign if split is None else None,
            side,
            params.objective(side.family) if isinstance(side, Arm) else {},
            params.model,
            params.train,
            seed,
            arguments.episodes,
        )
        for corpus, side, seed in places
        for split in (None, corpus.split)
    ]
    found = run_jobs(jobs, arguments.results / "recognition")
    values: dict[tuple[str, Arm | Baseline], list[Found]] = {}
    for (corpus, side, _), seen, new in zip(places, found[::2], found[1::2], strict=True):
        values.setdefault((corpus.title, side), []).append(joined(seen, new))
    with replacing_file(arguments.out / "recognition.md") as path:
        path.write_text(page(corpora, values, params, arguments), encoding="utf-8")
    draw(arguments.out / "recognition.png", corpora, values)
    print(f"{arguments.out / 'recognition.md'}, {arguments.out / 'recognition.png'}")


def joined(seen: Found, new: Found) -> Found:
    """What both trainings of a seed left."""
    return Found(
        {**seen.measures, **new.measures},
        new.episodes,
        seen.reliability,
        seen.confused,
        seen.error or new.error,
    )


def draw(path: Path, corpora: Sequence[Corpus], values: Values) -> None:
    """Draw the reliability of each side's first seed, a panel a corpus."""
    panels: dict[str, dict[str, measures.Reliability]] = {}
    for corpus in corpora:
        panels[corpus.title] = {
            side_title(side): measures.Reliability(*map(np.asarray, few[0].reliability))
            for (title, side), few in values.items()
            if title == corpus.title and few[0].reliability and side is not Baseline.UNTRAINED
        }
    reliability_diagram(path, panels)


def page(
    corpora: Sequence[Corpus], values: Values, params: Params, arguments: argparse.Namespace
) -> str:
    """The page as Markdown.

    Args:
        corpora: of the study.
        values: what was found.
        params: the settings.
        arguments: of the command line: seeds and episodes.
    """
    text = [
        "# Recognising texts",
        f"Metric learning (`{params.loss['name']}`) against classification "
        f"(`{params.classification['name']}`), {params.model.dim} wide, {params.train.epochs} "
        "epochs, with the settings of params.yaml; nothing is tuned. Means over "
        f"{len(arguments.seeds)} seeds ± half of the 95 % interval. The verdicts are on metric − "
        "classification, seed by seed, with simultaneous 95 % intervals for all verdicts of a "
        "table. They cover other seeds, not other corpora or other choices of the new classes. "
        f"TF-IDF has {COMPONENTS} components, and logistic regression where it needs "
        "probabilities; it draws nothing. [measures.md](measures.md) defines the measures. "
        "`python -m studies.recognition` writes this page.",
        "\n".join(f"- **{plain(corpus.title)}**: {corpus.size}." for corpus in corpora),
    ]
    failed = [
        f"- {plain(title)}, {side_title(side)}: {found.error}"
        for (title, side), few in values.items()
        for found in few
        if found.error
    ]
    for topic in TOPICS:
        shown = _table(topic, corpora, values, params)
        if shown:
            text += [f"## {topic.title}", topic.about, shown]
        if topic.title == "Few shots":
            text += [
                "With other classes instead of other seeds, metric − classification has these 95 % "
                f"intervals (jackknife over the new classes, {arguments.episodes:,} episodes, "
                "mean of the seeds, not corrected for their number):",
                "\n".join(_over_classes(corpora, values, params, arguments.episodes)),
            ]
        if topic.title == "Probabilities":
            text.append("![accuracy by confidence, of the first seed](recognition.png)")
    text += [
        "## Which classes are confused",
        "The pairs that are taken for each other most often, of the first seed.",
        _confused(corpora, values),
    ]
    if failed:
        text += ["Trainings that ended early, so that a measure has no value:", "\n".join(failed)]
    return "\n\n".join(text) + "\n"


def _series(found: Sequence[Found], key: str) -> Float64:
    """(seeds,) the values of a measure; NaN where there is none."""
    values = [each.measures.get(key) for each in found]
    return np.array([math.nan if value is None else value for value in values])


def _table(topic: Topic, corpora: Sequence[Corpus], values: Values, params: Params) -> str:
    """A row a corpus and measure: every side, then the verdict of each sampler."""
    sides: list[Arm | Baseline] = [*params.arms, *Baseline]
    contrasts = pairs(params.arms)
    rows, comparisons, judged = list[list[str]](), list[tuple[Float64, Float64]](), list[Measure]()
    for corpus in corpora:
        for each in topic.measures:
            by_side = {side: _series(values[corpus.title, side], each.key) for side in sides}
            if all(np.isnan(by_side[side]).all() for side in sides):
                continue
            cells = [with_interval(mean_interval(by_side[side])) for side in sides]
            rows.append([f"{plain(corpus.title)}: {each.title}", *cells])
            comparisons += [(by_side[metric], by_side[cls]) for metric, cls in contrasts]
            judged += [each] * len(contrasts)
    verdicts = [
        _verdict(found, each)
        for each, found in zip(judged, simultaneous_differences(comparisons), strict=True)
    ]
    for place, row in enumerate(rows):
        row += verdicts[place * len(contrasts) : (place + 1) * len(contrasts)]
    head = [
        "measure",
        *map(side_title, sides),
        *(f"verdict, {metric.sampler}" for metric, _ in contrasts),
    ]
    return table(head, rows) if rows else ""


def _verdict(found: Paired, of: Measure) -> str:
    if math.isnan(found.mean):
        return MISSING  # one family alone has the measure
    judgement = Judgement(found.outcome(large_is_good=of.large_is_good))
    return f"{cell_text(judgement)} {difference([found.mean, found.low, found.high])}"


def _over_classes(
    corpora: Sequence[Corpus], values: Values, params: Params, episodes: int
) -> list[str]:
    lines = []
    for corpus in corpora:
        labels = np.asarray(TokenizedCorpus.load(corpus.split).test.labels)
        for shots in SHOTS:
            chosen = measures.draw_episodes(labels, shots=shots, episodes=episodes).classes
            for metric, classification in pairs(params.arms):
                key = f"{shots}_shot_cosine"
                sides = [
                    [found.episodes[key] for found in values[corpus.title, arm] if found.episodes]
                    for arm in (metric, classification)
                ]
                if not all(sides) or not len(chosen):
                    continue
                gap = np.mean(sides[0], axis=0) - np.mean(sides[1], axis=0)
                lines.append(
                    f"- {plain(corpus.title)}, {shots}-shot, {metric.sampler}: "
                    f"{difference(over_classes(gap, chosen))}"
                )
    return lines


def _confused(corpora: Sequence[Corpus], values: Values) -> str:
    rows = [
        [
            f"{plain(corpus.title)}, {arm_title(side)}",
            f"{plain(one)}, {plain(other)}",
            f"{rows_:,}",
            number(share),
            number(distance),
        ]
        for corpus in corpora
        for (title, side), few in values.items()
        if title == corpus.title and isinstance(side, Arm)
        for one, other, distance, rows_, share in few[0].confused
    ]
    head = ["model", "classes", "texts", "share of both", "cosine distance of the centroids"]
    return table(head, rows)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("studies.recognition", __doc__)
    made.add_argument(
        "--corpora", nargs="+", default=["docstring_modules"], metavar="SPEC",
        help="built-in names, paths or mappings, see docs/corpora.md; a mapping may have "
        "out_of_scope, a table with the column text (%(default)s)",
    )  # fmt: skip
    made.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="(0 1 2 3 4)")
    made.add_argument("--episodes", type=int, default=EPISODES, help="of few shots (%(default)s)")
    made.add_argument("--epochs", type=int, help="(train.epochs of params.yaml)")
    options.add_files(made, "where page and picture go")
    return made


if __name__ == "__main__":
    command.run(main, parser(), after_interrupt=options.AFTER_INTERRUPT)
