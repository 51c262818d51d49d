"""Put the report into one interactive HTML page that needs no network.

Reads what stages.report reads, reports/figures/, and for the texts of the maps
data/raw/<role>/corpus.parquet and data/splits/<role>/<split>/labels.json; arms, samplers, train of
params.yaml; writes plots/report.html.

Example: python -m stages.page
"""

from __future__ import annotations

import argparse

import pandas as pd

from stages import command
from textmetric.errors import UserError
from textmetric.files import read_arrays, read_json
from textmetric.params import Params
from textmetric.report.content import build_document
from textmetric.report.page import SplitMap, write_page
from textmetric.report.study import read_study
from textmetric.splits import read_entries, rows_of_test


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the page."""
    study = read_study(
        ".",
        splits=read_entries(),
        arms=params.arms,
        samplers=params.samplers,
        train=params.train,
    )
    frames = {role: _read(f"data/raw/{role}/corpus.parquet") for role in study.roles}
    maps = {
        split: split_map(split, entry.role, params.arms, frames[entry.role])
        for split, entry in study.splits.items()
    }
    write_page("plots/report.html", build_document(study, folder="plots"), maps, root=".")


def split_map(split: str, role: str, arms: list[str], frame: pd.DataFrame) -> SplitMap:
    """The t-SNE of a split with the texts of its dots."""
    about = read_json(f"data/splits/{role}/{split}/labels.json")
    arrays = read_arrays(f"data/tsne/{split}.npz")
    rows = rows_of_test(frame, [about["names"][label] for label in about["unseen"]])
    return SplitMap(
        split=split,
        arms=arms,
        seeds=arrays["seeds"].tolist(),
        coordinates=arrays["coordinates"],
        labels=arrays["labels"],
        label_names=about["names"],
        scarce=about["scarce"],
        texts=frame["text"].iloc[rows[arrays["rows"]]].tolist(),
    )


def _read(path: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run stages.download first (dvc repro)") from None


if __name__ == "__main__":
    command.run(main, "stages.page")
