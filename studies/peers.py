"""Few labels: TextEmbedder against what else one would try with a pre-trained sentence encoder.

Each line of the table has a number of labelled rows a class, each column a way to learn from them:
TF-IDF with logistic regression; logistic regression on the vectors of the sentence encoder; the
training of the package model2vec on token vectors; and TextEmbedder from the texts alone, from
the token vectors, and from these and the rest of the train texts without labels. All see the same
rows, and are measured on the whole test part.

Each finished training is a small file, named by a hash of all it depends on: the job can be
interrupted, and a second run does only what is missing. Writes few-labels.md.

Examples:
    python -m studies.peers --corpus news --vectors all-MiniLM-L6-v2
    python -m studies.peers --corpus news --vectors all-MiniLM-L6-v2 --budgets 8 25 250 --model2vec
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from studies import options
from studies.defaults import ALL, ALONE, GIVEN, TFIDF, UNLABELLED, Job, drawn_rows, run_jobs, stored
from studies.inputs import store_vectors
from studies.names import name_of
from textmetric import command, parallel
from textmetric.command import INTERACTIVE
from textmetric.encoders import token_vectors
from textmetric.encoders.frozen import sentence_vectors
from textmetric.errors import UserError, missing_package
from textmetric.files import read_json, replacing_file, write_array, write_json
from textmetric.measures import mean_interval
from textmetric.measures.rows import unit
from textmetric.params import read
from textmetric.report.formats import difference, plain, table, with_interval
from textmetric.text import TokenVectors

SENTENCES = "sentence vectors + logistic regression"
MODEL2VEC = "training of model2vec"
DIM = 256
"""Width of the token vectors."""


@dataclass(frozen=True)
class PeerJob:
    """A training of a peer: everything its result depends on.

    Attributes:
        peer: its name.
        frame: file of a corpus, named by its contents.
        rows: rows a class.
        draw: which rows.
        vectors: folder of the token vectors, or file of the sentence vectors; named by contents.
    """

    peer: str
    frame: Path
    rows: str
    draw: int
    vectors: Path

    def key(self) -> str:
        """The name of the result: a hash of the above and of the code that counts."""
        parts = [self.peer, self.frame.name, self.rows, self.draw, self.vectors.name]
        return name_of(parts, "studies.peers")


def main(arguments: argparse.Namespace) -> None:
    """Train what is missing, write the table."""
    params = read(arguments.params)
    if min(arguments.budgets) < 2 or arguments.draws < 1:
        raise UserError("--budgets must be at least 2 rows a class, and --draws at least 1")
    if arguments.model2vec:
        for package in ("model2vec", "skeletoken", "datasets"):
            if importlib.util.find_spec(package) is None:
                raise missing_package(package, "--model2vec", "peers")
    spec = options.mapping_or_name(arguments.corpus)
    title, frame = stored(spec, params.data, arguments.results)
    found = token_vectors(arguments.vectors, dim=DIM, progress=INTERACTIVE)
    static = store_vectors(found, arguments.results / "vectors")
    budgets = [*map(str, arguments.budgets), ALL]
    jobs, places = list[Job](), list[dict[str, Any]]()
    peers, peer_places = list[PeerJob](), list[dict[str, Any]]()
    sentences = _encoded(frame, arguments)
    for rows, draw in itertools.product(budgets, range(arguments.draws)):
        if rows == ALL and draw >= arguments.draws_of_all:
            continue
        about = {"rows": rows, "draw": draw}
        ours: dict[str, dict[str, Any]] = {ALONE: {}, GIVEN: {"vectors": static}}
        if rows != ALL:
            ours[UNLABELLED] = {"vectors": static, "unlabelled": True}
            peers.append(PeerJob(SENTENCES, frame, rows, draw, sentences))
            peer_places.append(about | {"way": SENTENCES})
            if arguments.model2vec and draw < arguments.draws_of_model2vec:
                peers.append(PeerJob(MODEL2VEC, frame, rows, draw, static))
                peer_places.append(about | {"way": MODEL2VEC})
        for way, more in ours.items():
            jobs.append(Job(frame, rows, draw, {}, **more))
            places.append(about | {"way": way})
        for way, c in TFIDF.items():
            jobs.append(Job(frame, rows, draw, {}, c=c))
            places.append(about | {"way": way})
    accuracies = run_jobs(jobs, arguments.results / "defaults")
    accuracies += _run_peers(peers, arguments.results / "peers")
    measured = pd.concat([pd.DataFrame(places + peer_places), pd.DataFrame(accuracies)], axis=1)
    with replacing_file(arguments.out / "few-labels.md") as path:
        path.write_text(_page(title, arguments.vectors, measured), encoding="utf-8")


def _encoded(frame: Path, arguments: argparse.Namespace) -> Path:
    """File of the sentence vectors (n, width) of the test rows and those drawn; the rest is NaN."""
    texts = pd.read_parquet(frame)
    train = np.flatnonzero(texts["split"] == "train")
    wanted = np.flatnonzero(texts["split"] == "test")
    for rows, draw in itertools.product(map(str, arguments.budgets), range(arguments.draws)):
        drawn = drawn_rows(texts["label"].iloc[train], rows, draw)
        wanted = np.union1d(wanted, train[drawn])
    digest = hashlib.sha256(f"{frame.name} {arguments.vectors}".encode() + wanted.tobytes())
    path: Path = arguments.results / "sentences" / f"{digest.hexdigest()[:24]}.npy"
    if not path.is_file():
        found = sentence_vectors(
            texts["text"].iloc[wanted].tolist(), arguments.vectors, progress=INTERACTIVE
        ).values
        values = np.full((len(texts), found.shape[1]), np.nan, dtype=np.float32)
        values[wanted] = found
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as temporary:
            write_array(temporary, values)
    return path


def _run_peers(jobs: list[PeerJob], results: Path) -> list[dict[str, float]]:
    files = [results / f"{job.key()}.json" for job in jobs]
    parallel.finish(_run_peer, jobs, files, label="peers", unit="training", progress=INTERACTIVE)
    return [read_json(file) for file in files]


def _run_peer(job: tuple[PeerJob, Path], tick: Callable[[], None]) -> None:
    given, file = job
    frame = pd.read_parquet(given.frame)
    train = np.flatnonzero(frame["split"] == "train")
    rows = train[drawn_rows(frame["label"].iloc[train], given.rows, given.draw)]
    test = np.flatnonzero(frame["split"] == "test")
    labels = frame["label"].to_numpy()
    if given.peer == SENTENCES:
        vectors = np.load(given.vectors, mmap_mode="r")
        classifier = LogisticRegression(max_iter=1000).fit(unit(vectors[rows]), labels[rows])
        predicted = classifier.predict(unit(vectors[test]))
    else:
        texts = frame["text"].to_numpy()
        predicted = _model2vec(given, texts[rows].tolist(), labels[rows], texts[test].tolist())
    write_json(file, {"test": float((predicted == labels[test]).mean())})
    tick()


def _model2vec(job: PeerJob, texts: list[str], labels: Any, test: list[str]) -> Any:
    """What the package's own training predicts, with its defaults; at most 30 epochs."""
    from model2vec import StaticModel
    from model2vec.train import StaticModelForClassification

    from textmetric.text.tokenizer import read_tokenizer

    found = TokenVectors.load(job.vectors)
    tokenizer = read_tokenizer(found.vocabulary.tokenizer.definition)
    values = np.zeros((tokenizer.get_vocab_size(), found.values.shape[1]), dtype=np.float32)
    for token, place in tokenizer.get_vocab().items():
        values[place] = found.values[found.vocabulary.ids.get(token, 0)]
    model = StaticModelForClassification.from_static_model(
        model=StaticModel(values, tokenizer, normalize=False)
    )
    model.fit(texts, list(labels), max_epochs=30, random_seed=job.draw)
    return np.asarray(model.predict(test))


def _page(title: str, name: str, measured: pd.DataFrame) -> str:
    ways = [*TFIDF, SENTENCES, MODEL2VEC, ALONE, GIVEN, UNLABELLED]
    ways = [way for way in ways if (measured["way"] == way).any()]
    rows = []
    for count, cell in measured.groupby("rows", sort=False):
        found = [cell.loc[cell["way"] == way, "test"] for way in ways]
        rows.append(
            [str(count)] + [with_interval(mean_interval(few)) if len(few) else "" for few in found]
        )
    draws = measured.groupby("way")["draw"].nunique()
    text = [
        f"# Few labels: {title}",
        "",
        f"Written by `python -m studies.peers`. Accuracy on the test part of {plain(title)}: the "
        "mean over draws of the labelled rows ± half of its 95 % interval. The token vectors are "
        f"those distilled from `{name}`, which also gives the sentence vectors. The columns after "
        "the peers are `TextEmbedder` with its defaults.",
        "",
        table(["rows a class", *ways], rows),
        "",
        f"Draws of the rows: {'; '.join(f'{way}: {draws[way]}' for way in ways)}. There are fewer "
        "where all rows are used.",
        "",
    ]
    ours, theirs = UNLABELLED, SENTENCES
    for count, cell in measured[measured["rows"] != ALL].groupby("rows", sort=False):
        wide = cell.pivot_table(index="draw", columns="way", values="test")
        gain = difference(mean_interval((wide[ours] - wide[theirs]).dropna()))
        text.append(f"- {count} rows a class: {ours} − {theirs}: {gain}.")
    return "\n".join(text) + "\n"


def _parser() -> argparse.ArgumentParser:
    made = command.parser("studies.peers", __doc__)
    made.add_argument(
        "--corpus", default="docstrings", metavar="SPEC",
        help="a built-in name, a path, or a mapping, see docs/corpora.md (%(default)s)",
    )  # fmt: skip
    made.add_argument(
        "--vectors", required=True, metavar="NAME", help="a sentence encoder, see docs/encoders.md"
    )
    made.add_argument("--budgets", nargs="+", type=int, default=[8, 25, 250], help="(8 25 250)")
    made.add_argument("--draws", type=int, default=8, help="of the rows (8)")
    made.add_argument("--draws-of-all", type=int, default=3, help="seeds with all rows (3)")
    made.add_argument("--model2vec", action="store_true", help="also the training of model2vec")
    made.add_argument("--draws-of-model2vec", type=int, default=3, help="it takes long (3)")
    options.add_files(made, "where the page goes")
    return made


if __name__ == "__main__":
    command.run(main, _parser(), after_interrupt=options.AFTER_INTERRUPT)
