"""Do clusters that learn from corrections beat what else could be done with the corrections?

The old clusters are those of k-means, on the vectors and on TF-IDF. A simulated user corrects texts
by their true labels. Agreement with the labels (ARI and AMI) is measured on texts that nobody
corrected. Four questions:

- A share of all texts is corrected at random. Next to recluster: the old clusters; k-means on the
  vectors; the nearest centroid and logistic regression of the corrected texts; COP-KMeans (Wagstaff
  et al. 2001) and PCK-means (Basu, Banerjee & Mooney 2004) with labels as their constraints; and
  k-means under a learnt Mahalanobis distance (MMC).
- Ten turns of one hundredth, of texts that are asked for or drawn. A fifth of the texts is never
  corrected, and both are measured on it.
- With a twentieth corrected, several objectives train the projection of the vectors, and none does;
  or the token vectors are trained.
- With a twentieth corrected, parts of the method are left out.

The last two start from k-means on the vectors.

Differences are paired by seed, and p values adjusted by Holm (1979). Writes recluster-study.md and
its pictures. What is finished is in --results, and is not done again.

Examples:
    python -m studies.recluster --corpora trec.csv --vectors all-MiniLM-L6-v2
    python -m studies.recluster --corpora trec.csv --starts tfidf --shares .05 --seeds 0 1 2 3 4
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import save_npz
from sklearn.feature_extraction.text import TfidfVectorizer

from studies import options
from studies import recluster_page as page
from studies.inputs import read_corpus
from studies.recluster_jobs import Job, finish
from textmetric import command
from textmetric.command import INTERACTIVE
from textmetric.errors import UserError
from textmetric.files import read_json, replacing_folder, write_array, write_json
from textmetric.params import Data, read
from textmetric.reclustering.vectors import text_vectors
from textmetric.report.formats import plain
from textmetric.report.original import corpus_title

SHARES = (0.01, 0.05, 0.1, 0.25)


def main(arguments: argparse.Namespace) -> None:
    """Do what is missing for each corpus, write the page and its pictures."""
    params = read(arguments.params)
    if min(arguments.seeds) < 0 or len(set(arguments.seeds)) < len(arguments.seeds):
        raise UserError(f"--seeds is {arguments.seeds}: give different whole numbers from 0")
    if not all(0 < share < 1 for share in arguments.shares):
        raise UserError(f"--shares is {arguments.shares}: give shares between 0 and 1")
    places = {}
    for word in arguments.corpora:
        title, folder = _stored(word, params.data, arguments)
        places[title] = folder
    # seed by seed, so that a run that is stopped has some seeds of everything
    cases = [(folder, seed) for seed in arguments.seeds for folder in places.values()]
    starts = {*arguments.starts, "vectors"}  # the peers and the rest look at the vectors alone
    finish(
        [Job(folder, start, seed, "") for folder, seed in cases for start in starts], "old clusters"
    )
    names = ["objectives", "tuned", "parts"] + [f"peers-{share:g}" for share in arguments.shares]
    at = [("vectors", name) for name in names]
    names = ["turns-ask", "turns-random"] + [f"share-{share:g}" for share in arguments.shares]
    at += [(start, name) for start in arguments.starts for name in names]
    jobs = [Job(folder, start, seed, name) for folder, seed in cases for start, name in at]
    finish(jobs, "recluster")
    titles = {folder: title for title, folder in places.items()}
    rows = [
        row
        for job in jobs
        for start in (arguments.starts if job.name.startswith("peers-") else [job.start])
        for row in page.rows_of(titles[job.folder], start, job.seed, job.name, read_json(job.file))
    ]
    page.write(arguments.out, pd.DataFrame(rows))


def _stored(word: str, data: Data, arguments: argparse.Namespace) -> tuple[str, Path]:
    """The name of a corpus, and the folder with its vectors, TF-IDF and labels."""
    corpus = read_corpus(options.mapping_or_name(word), data, INTERACTIVE)
    texts = corpus.frame["text"].tolist()
    labels = np.unique(corpus.frame["label"].astype(str), return_inverse=True)[1].astype(np.int64)
    identity = json.dumps([texts, labels.tolist(), arguments.vectors])
    folder = arguments.results / "recluster" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    if not folder.is_dir():
        with replacing_folder(folder) as temporary:
            vectors = text_vectors(texts, arguments.vectors, progress=INTERACTIVE)
            write_array(temporary / "vectors.npy", vectors)
            write_array(temporary / "labels.npy", labels)
            write_json(temporary / "texts.json", {"texts": texts, "vectors": arguments.vectors})
            save_npz(temporary / "tfidf.npz", TfidfVectorizer().fit_transform(texts))
    title = plain(corpus_title(corpus.summary))
    return f"{title}, {len(texts):,} texts of {int(labels.max()) + 1} classes", folder


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command.parser("studies.recluster", __doc__)
    parser.add_argument("--corpora", nargs="+", required=True, metavar="SPEC")
    parser.add_argument("--vectors", metavar="NAME", help="token vectors (LSA of the texts)")
    parser.add_argument(
        "--starts", nargs="+", choices=[*page.STARTS], default=[*page.STARTS],
        help="what k-means makes the old clusters of (both)",
    )  # fmt: skip
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES, help="(.01 .05 .1 .25)")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)), help="(0 … 9)")
    options.add_files(parser, "where the page goes")
    return parser


if __name__ == "__main__":
    command.run(main, _parser(), after_interrupt=options.AFTER_INTERRUPT)
