"""The figures of a run as Markdown tables and one picture.

The JSON is what `python -m benchmarks --json FILE` wrote; several files are read as one run, the
later taking the place of the same cases in the earlier.

Examples:
    python -m benchmarks.table docs/performance.json
    python -m benchmarks.table docs/performance.json --page docs/performance.md
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.rounds import duration, mebibytes
from studies.marks import fill_in
from textmetric import command
from textmetric.errors import UserError
from textmetric.files import read_json
from textmetric.report.figures import new_figure
from textmetric.report.looks import PALETTE, SCARCE

MARK = "figures"
"""The tables go between <!-- figures --> and <!-- end of figures -->."""
HEAD = (
    "| what | ours | peer | its time | ratio (least–most) | goal | memory, ours, peer's | notes |\n"
    "|:--|--:|:--|--:|--:|--:|--:|:--|"
)
_LINE, _NAME = 0.34, 76  # inches a case, letters a line of its name
Record = dict[str, Any]


def read(paths: Sequence[Path]) -> list[Record]:
    """The records of some JSON files in the order in which their cases first come.

    Raises:
        UserError: a file is missing, is not JSON, or holds something else.
    """
    found: dict[tuple[str, str, str | None], Record] = {}
    for path in paths:
        records = read_json(path)
        try:
            found |= {(one["part"], one["case"], one["peer"]): one for one in records}
        except (TypeError, KeyError):
            raise UserError(
                f"{path} does not hold figures: write it by python -m benchmarks --json {path}"
            ) from None
    return list(found.values())


def markdown(records: Sequence[Record]) -> str:
    """A heading and a table a part."""
    parts = dict.fromkeys(record["part"] for record in records)
    tables = []
    for part in parts:
        rows = [_row(record) for record in records if record["part"] == part]
        tables.append(f"### {part}\n\n{HEAD}\n" + "\n".join(rows))
    return "\n\n".join(tables)


def _row(record: Record) -> str:
    ratio = goal = ""
    if record["ratio"] is not None:
        median, least, most = (_ratio(record[key]) for key in ("ratio", "ratio_min", "ratio_max"))
        ratio = f"**{median}** ({least}–{most})"
        if record["goal"] is not None:
            kept = record["ratio"] <= record["goal"]
            goal = f"{_ratio(record['goal'])} {'✓' if kept else '✗'}"
    memory = [
        mebibytes(record[key]) if record[key] is not None else "–"
        for key in ("ours_mb", "peer_mb")[: 1 if record["peer"] is None else 2]
    ]
    cells = [
        record["case"],
        duration(record["ours_s"]),
        record["peer"] or "",
        "" if record["peer_s"] is None else duration(record["peer_s"]),
        ratio,
        goal,
        ", ".join(memory) if any(found != "–" for found in memory) else "",
        record["note"],
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _ratio(value: float) -> str:
    """Two digits that count, never by powers of ten.

    >>> [_ratio(value) for value in (0.0125, 0.346, 1.0, 12.34)]
    ['0.013', '0.35', '1.0', '12']
    """
    for digits, least in ((0, 10), (1, 0.995), (2, 0.0995), (3, 0.00995)):
        if value >= least:
            return f"{value:.{digits}f}"
    return f"{value:.4f}"


def picture(path: Path, records: Sequence[Record]) -> None:
    """Draw the cases that have a peer downwards: median ratio, its range, and its goal.

    Raises:
        UserError: no case has a peer.
    """
    shown = [record for record in records if record["ratio"] is not None]
    if not shown:
        raise UserError("no case has a peer, so there is no ratio to draw: run other parts")
    parts = list(dict.fromkeys(record["part"] for record in shown))
    with new_figure(path, 10, 1.2 + _LINE * len(shown)) as figure:
        axis = figure.subplots()
        axis.axvline(1, color="#444444", linewidth=1)
        for place, record in enumerate(shown):
            colour = PALETTE[parts.index(record["part"]) % len(PALETTE)]
            ratio = record["ratio"]
            axis.errorbar(
                ratio,
                place,
                xerr=[[ratio - record["ratio_min"]], [record["ratio_max"] - ratio]],
                marker="o",
                markersize=5,
                color=colour,
                capsize=2.5,
            )
            if record["goal"] is not None:
                missed = ratio > record["goal"]
                axis.plot(
                    record["goal"],
                    place,
                    marker="|",
                    markersize=13,
                    markeredgewidth=2,
                    color=SCARCE if missed else "black",
                )
        axis.set_yticks(range(len(shown)), [_label(record) for record in shown], fontsize=6.5)
        axis.set_ylim(len(shown) - 0.5, -0.5)
        axis.set_xscale("log")
        axis.set_xlabel("seconds, ours / the peer's (left of 1: ours is faster)")
        low, high = axis.get_xlim()
        steps = [n * 10.0**power for power in range(-4, 4) for n in (1, 2, 5)]
        axis.set_xticks([step for step in steps if low <= step <= high])
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
        entries = [
            Line2D([], [], color=PALETTE[place % len(PALETTE)], marker="o", label=part)
            for place, part in enumerate(parts)
        ]
        goal: dict[str, Any] = {"linestyle": "", "marker": "|", "markersize": 11}
        entries.append(Line2D([], [], color="black", markeredgewidth=2, label="goal", **goal))
        figure.legend(handles=entries, loc="outside lower center", ncols=5)


def _label(record: Record) -> str:
    texts = (record["case"], f"against {record['peer']}")
    return "\n".join(textwrap.fill(text, _NAME, break_on_hyphens=False) for text in texts)


def main(arguments: argparse.Namespace) -> None:
    """Print the tables, or write them into a page with the picture next to it.

    Raises:
        UserError: a file cannot be read, or the page has no place for the tables.
    """
    records = read(arguments.figures)
    if arguments.page is None:
        print(markdown(records))
        return
    fill_in(arguments.page, {MARK: markdown(records)})
    picture(arguments.page.with_suffix(".png"), records)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = command.parser("benchmarks.table", __doc__)
    made.add_argument("figures", nargs="+", type=Path, metavar="FILE", help="JSON of a run")
    made.add_argument(
        "--page", type=Path, metavar="FILE", help="write there, and its .png, instead of printing"
    )
    return made


if __name__ == "__main__":
    command.run(main, parser())
