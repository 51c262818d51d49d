"""Every picture of the study, as PNG: t-SNE panels, curves, and measures with intervals.

Figures are made without pyplot, so nothing global changes and no display is needed. Style,
fonts and metadata are fixed: the same data gives the same bytes.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textmetric.errors import needing, printable

with needing("the report", "study"):
    import matplotlib.style
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from textmetric.files import replacing_file
from textmetric.grid import SCRATCH, Arm, Family
from textmetric.measures import Outcome, Reliability, mean_interval
from textmetric.report.lettering import lettering
from textmetric.report.looks import MANY, PALETTE, SCARCE, SHAPES, class_looks
from textmetric.report.names import (
    FAMILIES,
    HEADLINES,
    INITS,
    TUNINGS,
    Measure,
    arm_title,
)

if TYPE_CHECKING:
    import pandas as pd

_STROKES = ("-", "--", ":", "-.")
_FEW_DOTS = 300
"""Up to this many dots have room to be larger."""
_NAMED = 8
"""This many of the largest classes are then named in the picture."""
_LONGEST_NAME = 32
_DOT: dict[str, Any] = {"s": 11, "linewidths": 0, "alpha": 0.7}
_TRIANGLE: dict[str, Any] = {"s": 22, "linewidths": 0.3, "edgecolors": "white", "alpha": 0.95}
_DPI = 110
HEADS = {True: "head with tanh", False: "head without tanh"}
"""Whether the head of a transfer ends in tanh → the words for it."""


@contextmanager
def new_figure(
    path: str | os.PathLike[str], width: float, height: float, families: Sequence[str] = ()
) -> Iterator[Figure]:
    """A figure of width × height inches in matplotlib's own style, written to ``path``.

    Args:
        path: the PNG to write.
        width: in inches.
        height: in inches.
        families: the fonts, see :func:`.lettering`; empty for matplotlib's own.
    """
    own = {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "legend.frameon": False,
        **({"font.family": list(families)} if families else {}),
        "savefig.facecolor": "white",  # a code host's dark theme must not shine through
    }
    # The engine's own padding cuts into the titles of the top row.
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    with matplotlib.style.context(["default", own]):
        figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout)
        yield figure
        with replacing_file(path) as temporary:
            # The version of matplotlib would otherwise be in the file.
            figure.savefig(
                temporary,
                format="png",
                metadata={"Software": None},
                pil_kwargs={"optimize": True},
            )


def tsne_panels(
    path: str | os.PathLike[str],
    panels: Mapping[Arm, NDArray[np.floating]],
    labels: NDArray[np.integer],
    label_names: Sequence[str],
    scarce: Sequence[int] = (),
) -> None:
    """Draw the arms side by side, with one legend, scarce classes as red triangles on top.

    Up to 10 classes have a colour and a legend entry each; up to 30 a colour and shape. With more,
    every class has a muted colour of its own, the largest are named in the picture where there is
    room, and the legend has only scarce and other.

    Args:
        path: the PNG to write.
        panels: arm → (n, 2) coordinates, the same rows in every panel.
        labels: (n,) class ids of the rows.
        label_names: name of each class id, written as :func:`.lettering` says.
        scarce: class ids to draw in red.
    """
    present, rows = np.unique(labels, return_counts=True)
    marked = np.isin(present, np.asarray(scarce, dtype=np.int64))
    many = len(present) > MANY
    written = lettering(label_names)
    label_names = written.names
    # By the place among all classes: a class keeps its colour when another one is scarce.
    looks = class_looks(marked)
    place = np.searchsorted(present, labels)
    row_colours = np.array([colour for colour, _ in looks])[place]
    row_shapes = np.array([shape for _, shape in looks])[place]
    largest = present[np.argsort(-rows, kind="stable")[: _NAMED if many else 0]]

    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    legend = 0.7 if many else 0.55 + 0.19 * -(-len(present) // 4)
    larger = 2.2 if len(labels) <= _FEW_DOTS else 1.0
    size = 4.7 * columns, 4.7 * lines + legend
    with new_figure(path, *size, written.families) as figure:
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis, (arm, coordinates) in zip(axes, panels.items(), strict=False):
            axis.set(title=_plain(arm_title(arm)), xticks=[], yticks=[])
            axis.spines[["top", "right"]].set_visible(True)
            axis.spines[:].set_color("#BBBBBB")
            _square(axis, coordinates)
            # One call a shape, rows in their order: no class lies on top of a whole other one.
            for shape in (*SHAPES, "^"):
                dots = row_shapes == shape
                style = _TRIANGLE if shape == "^" else _DOT
                axis.scatter(
                    *coordinates[dots].T,
                    c=row_colours[dots],
                    marker=shape,
                    **style | {"s": larger * style["s"]},
                )
            places = [(label_names[label], coordinates[labels == label]) for label in largest]
            _name_classes(axis, places)
        if many:
            entries = [(f"scarce ({marked.sum()} classes)", SCARCE, "^")] * bool(marked.any())
            other = "other " if marked.any() else ""
            if not marked.all():
                count = int((~marked).sum())
                title = f"{count} {other}classes, a colour each"
                entries.append((title, "#888888", "o"))
        else:
            entries = [
                (label_names[int(label)] + " (scarce)" * bool(is_scarce), *look)
                for label, is_scarce, look in zip(present, marked, looks, strict=True)
            ]
        _legend(
            figure,
            {
                title: {"color": colour, "marker": shape, "linestyle": "", "markersize": 6}
                for title, colour, shape in entries
            },
            written.note(largest if many else present),
        )


def moved_panels(
    path: str | os.PathLike[str],
    coordinates: NDArray[np.floating],
    panels: Mapping[str, NDArray[np.integer]],
    names: Sequence[str],
    moved: NDArray[np.bool_],
) -> None:
    """Draw the same dots once a panel, coloured by their cluster there; a ring marks moved ones.

    The largest clusters are named in the panel where there is room.

    Args:
        path: the PNG to write.
        coordinates: (n, 2).
        panels: title → (n,) the cluster of each dot, an id of ``names``; -1 for none, in grey.
        names: of the clusters, written as :func:`.lettering` says.
        moved: (n,) whether a dot is in two clusters.
    """
    written = lettering(names)
    looks = class_looks([False] * len(names))
    colours = np.array([*(colour for colour, _ in looks), "#BBBBBB"])
    size = 2.2 if len(coordinates) <= _FEW_DOTS else 1.0
    ring = {"s": 30 * size, "facecolors": "none", "edgecolors": "#222222", "linewidths": 0.7}
    with new_figure(path, 4.7 * len(panels), 5.3, written.families) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False).ravel()
        for axis, (title, clusters) in zip(axes, panels.items(), strict=True):
            axis.set(title=title, xticks=[], yticks=[])
            axis.spines[["top", "right"]].set_visible(True)
            axis.spines[:].set_color("#BBBBBB")
            _square(axis, coordinates)
            axis.scatter(*coordinates.T, c=colours[clusters], **_DOT | {"s": size * _DOT["s"]})
            axis.scatter(*coordinates[moved].T, **ring)
            present, rows = np.unique(clusters[clusters >= 0], return_counts=True)
            largest = present[np.argsort(-rows, kind="stable")[:_NAMED]]
            _name_classes(
                axis, [(written.names[each], coordinates[clusters == each]) for each in largest]
            )
        entry = {"color": "#222222", "marker": "o", "markerfacecolor": "none", "linestyle": ""}
        title = f"moved ({int(moved.sum())} of {len(moved)} dots)"
        _legend(figure, {title: entry}, written.note(range(len(names))))


def learning_curves(path: str | os.PathLike[str], curves: Mapping[Arm, pd.DataFrame]) -> None:
    """Draw training by epoch: loss, share of active triplets, validation MAP@R.

    The losses of two objectives have different units, so each objective has a panel of its
    own. Lines are means over seeds, bands their 95 % intervals.

    Args:
        path: the PNG to write.
        curves: arm → table with the columns seed, epoch, loss, active_fraction and
            validation_map_at_r; NaN where a column does not apply.
    """
    looks = _looks(curves)
    panels: list[tuple[str, str, list[Arm]]] = []
    for family in dict.fromkeys(arm.family for arm in curves):
        arms = [arm for arm in curves if arm.family is family]
        panels.append((f"loss, {FAMILIES[family]}", "loss", arms))
    active = [arm for arm in curves if curves[arm]["active_fraction"].notna().any()]
    if active:
        panels.append(("share of active triplets", "active_fraction", active))
    panels.append(("validation MAP@R", "validation_map_at_r", list(curves)))
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    with new_figure(path, 4.4 * columns, 2.8 * lines + 0.5) as figure:
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis, (title, column, arms) in zip(axes, panels, strict=False):
            for arm in arms:
                _band(axis, curves[arm], column, looks[arm])
            axis.set(title=title, xlabel="epoch")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(figure, {arm_title(arm): look for arm, look in looks.items()})


def finetune_curves(path: str | os.PathLike[str], frames: Mapping[str, pd.DataFrame]) -> None:
    """Draw the transfer by epoch: validation accuracy above, validation loss below.

    Of the trainings on the whole train part: one column a tuning and head, one line an
    initialisation, the mean over seeds with its 95 % interval as a band. Panels of one tuning
    have the same scale.

    Args:
        path: the PNG to write.
        frames: initialisation → table with the columns tuning, tanh (bool), share, seed, epoch,
            validation_accuracy and validation_loss.
    """
    whole = {
        # The seventh digit of a loss depends on the processor, so only three are drawn.
        init: frame[frame["share"] == 1].round({"validation_loss": 3})
        for init, frame in frames.items()
    }
    looks, columns = _init_looks(frames), _tunings_and_heads(whole)
    with new_figure(path, max(4.4, 2.9 * len(columns)), 6.1) as figure:
        axes = figure.subplots(2, max(1, len(columns)), squeeze=False, sharex=True)
        for row, measure in zip(axes, ("accuracy", "loss"), strict=True):
            row[0].set_ylabel(f"validation {measure}")
            leftmost: dict[str, Any] = {}
            for axis, (tuning, tanh) in zip(row, columns, strict=False):
                for init, frame in whole.items():
                    chosen = frame[(frame["tuning"] == tuning) & (frame["tanh"] == tanh)]
                    _band(axis, chosen, f"validation_{measure}", looks[init])
                axis.xaxis.set_major_locator(MaxNLocator(integer=True))
                # One scale a tuning: random vectors that stay random would press the rest flat.
                if leftmost.setdefault(tuning, axis) is not axis:
                    axis.sharey(leftmost[tuning])
                    axis.tick_params(labelleft=False)
                axis.yaxis.set_major_locator(MaxNLocator(6))
        for axis, (tuning, tanh) in zip(axes[0], columns, strict=False):
            axis.set_title(f"{TUNINGS[tuning]},\n{HEADS[tanh]}")
        for axis in axes[1]:
            axis.set_xlabel("epoch")
        _legend(figure, {INITS[init]: look for init, look in looks.items()})


def label_efficiency(path: str | os.PathLike[str], frames: Mapping[str, pd.DataFrame]) -> None:
    """Draw the transfer by rows: test accuracy against the share of the target's train rows.

    One column a tuning and head, one line an initialisation: the mean over seeds, with its 95 %
    interval as a bar. The lines are shifted a little, so that no bar hides another.

    Args:
        path: the PNG to write.
        frames: initialisation → table with the columns tuning, tanh (bool), share, seed and
            test_accuracy, NaN except in the last epoch's rows.
    """
    known = {init: frame.dropna(subset=["test_accuracy"]) for init, frame in frames.items()}
    looks, columns = _init_looks(frames), _tunings_and_heads(known)
    shares = sorted({share for frame in known.values() for share in frame["share"]})
    with new_figure(path, max(4.4, 2.9 * len(columns)), 3.9) as figure:
        axes = figure.subplots(1, max(1, len(columns)), squeeze=False, sharey=True)[0]
        axes[0].set_ylabel("test accuracy")
        for axis, (tuning, tanh) in zip(axes, columns, strict=False):
            for place, (init, frame) in enumerate(known.items()):
                chosen = frame[(frame["tuning"] == tuning) & (frame["tanh"] == tanh)]
                by_share = chosen.groupby("share")["test_accuracy"]
                points = [(share, *mean_interval(values)) for share, values in by_share]
                if not points:
                    continue
                share, mean, low, high = np.array(points).T
                axis.errorbar(
                    share * 1.07 ** (place - (len(known) - 1) / 2),
                    mean,
                    yerr=np.nan_to_num([mean - low, high - mean]),
                    marker=SHAPES[place % 3],
                    markersize=4,
                    linewidth=1.4,
                    elinewidth=1.2,
                    capsize=2.5,
                    **looks[init],
                )
            axis.set(
                title=f"{TUNINGS[tuning]},\n{HEADS[tanh]}",
                xlabel="share of the train rows",
                xscale="log",
                xlim=(shares[0] / 1.6, shares[-1] * 1.6),
            )
            axis.set_xticks(shares, [f"{100 * share:g} %" for share in shares])
            axis.xaxis.set_minor_locator(NullLocator())
        entries = {
            INITS[init]: look | {"marker": SHAPES[place % 3], "markersize": 4}
            for place, (init, look) in enumerate(looks.items())
        }
        _legend(figure, entries)


def _init_looks(inits: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and stroke by initialisation, in the order of appearance; the control is grey."""
    return {
        init: {
            "color": "#666666" if init == SCRATCH else PALETTE[place % len(PALETTE)],
            "linestyle": _STROKES[place % len(_STROKES)],
        }
        for place, init in enumerate(inits)
    }


def _tunings_and_heads(frames: Mapping[str, pd.DataFrame]) -> list[tuple[str, bool]]:
    """The panels of the transfer: (tuning, tanh) that at least one table has, in a fixed order."""
    present = {
        (tuning, bool(tanh))
        for frame in frames.values()
        for tuning, tanh in zip(frame["tuning"], frame["tanh"], strict=True)
    }
    return [(tuning, tanh) for tuning in TUNINGS for tanh in HEADS if (tuning, tanh) in present]


def measure_dots(
    path: str | os.PathLike[str],
    values: pd.DataFrame,
    measures: Sequence[Measure] = HEADLINES,
) -> None:
    """Draw one panel a measure: splits downwards, arms as dots with their 95 % intervals.

    Args:
        path: the PNG to write.
        values: a table with the columns split, arm, measure (its key), mean, low, high; low and
            high are NaN where there is no interval.
        measures: the panels, in order.
    """
    splits = list(dict.fromkeys(values["split"]))
    arms = list(dict.fromkeys(values["arm"]))
    looks = _looks(arms)
    columns = min(2, max(1, len(measures)))
    lines = max(1, -(-len(measures) // columns))
    height = max(1.6, 0.13 * len(splits) * (len(arms) + 1.5))
    with new_figure(path, 4.7 * columns, (height + 0.55) * lines + 0.5) as figure:
        axes = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axis in axes.ravel()[len(measures) :]:
            axis.set_visible(False)
        for axis, measure in zip(axes.ravel(), measures, strict=False):
            panel = values[values["measure"] == measure.key].set_index("arm")
            for place, arm in enumerate(arms):
                rows = panel.loc[panel.index == arm]
                # Arms of one split are below each other, within 0.6 of the split's own line.
                offset = 0.6 * (place / max(1, len(arms) - 1) - 0.5)
                heights = [splits.index(split) + offset for split in rows["split"]]
                _dots(axis, rows, heights, looks[arm], arm, upright=False)
            axis.set(title=measure.title, ylim=(len(splits) - 0.5, -0.5))
            axis.xaxis.set_major_locator(MaxNLocator(6))
            axis.set_yticks(range(len(splits)), [_plain(split) for split in splits])
            axis.tick_params(axis="y", length=0)
            axis.grid(axis="y", visible=False)
            for border in range(1, len(splits)):
                axis.axhline(border - 0.5, color="#DDDDDD", linewidth=0.6)
        handles = {arm_title(arm): _dot_look(arm, look) for arm, look in looks.items()}
        _legend(figure, handles)


Answer = tuple[str, tuple[float, float, float], Outcome]
"""A use, the difference with its interval (mean, low, high), and the verdict."""


def answers(path: str | os.PathLike[str], uses: Sequence[Answer], unit: str) -> None:
    """Draw the difference of both families for each use, with its interval.

    Args:
        path: the PNG to write.
        uses: a positive difference means that metric learning is better; without an interval low
            and high are NaN.
        unit: what the differences are, for the axis.
    """
    colours = {Outcome.FIRST: PALETTE[1], Outcome.SECOND: PALETTE[0]}
    reach = 1.1 * np.nanmax([abs(value) for _, interval, _ in uses for value in interval])
    with new_figure(path, 7.4, 0.3 * len(uses) + 1.1) as figure:
        axis = figure.subplots()
        axis.axvline(0, color="#555555", linewidth=0.9)
        for place, (_, (mean, low, high), outcome) in enumerate(uses):
            colour = colours.get(outcome, "#777777")
            face = colour if outcome in colours else "white"
            axis.plot([low, high], [place, place], color=colour, linewidth=2)
            axis.plot([mean], [place], "o", color=colour, markerfacecolor=face, markersize=7)
        axis.set(xlim=(-reach, reach), ylim=(len(uses) - 0.5, -0.5), xlabel=unit)
        axis.set_yticks(range(len(uses)), [_plain(use) for use, _, _ in uses])
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
        axis.set_title("← classification better", loc="left", color=PALETTE[0])
        axis.set_title("metric learning better →", loc="right", color=PALETTE[1])


def rows_histogram(
    path: str | os.PathLike[str], train_rows: Sequence[int], marked: Sequence[int]
) -> None:
    """Draw how many labels have how many train rows, on a logarithmic scale.

    Args:
        path: the PNG to write.
        train_rows: of every label.
        marked: ids of the rare labels, drawn in red.
    """
    rows = np.maximum(np.asarray(train_rows, dtype=np.float64), 1)
    rare = np.isin(np.arange(len(rows)), np.asarray(marked, dtype=np.int64))
    # Between whole numbers, so that no count lies on an edge.
    edges = np.unique(np.floor(np.geomspace(rows.min(), rows.max() + 1, 25))) - 0.5
    edges = np.append(edges, rows.max() + 0.5) if edges[-1] < rows.max() else edges
    groups = {
        f"the {rare.sum()} rarest labels": (rows[rare], SCARCE),
        "other labels": (rows[~rare], PALETTE[0]),
    }
    shown = {title: group for title, group in groups.items() if len(group[0])}
    with new_figure(path, 6.6, 3.2) as figure:
        axis = figure.subplots()
        axis.hist(
            [values for values, _ in shown.values()],
            bins=edges.tolist(),
            color=[colour for _, colour in shown.values()],
            stacked=True,
            edgecolor="white",
            linewidth=0.6,
        )
        axis.set(xscale="log", xlabel="train rows", ylabel="labels")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(
            figure,
            {
                title: {"color": colour, "marker": "s", "linestyle": "", "markersize": 7}
                for title, (_, colour) in shown.items()
            },
        )


def label_dots(
    path: str | os.PathLike[str],
    values: pd.DataFrame,
    label_names: Sequence[str],
    measure: str,
) -> None:
    """Draw a measure label by label: arms as dots with their 95 % intervals.

    Args:
        path: the PNG to write.
        values: a table with the columns label (its id), arm, mean, low, high, labels in the order
            to draw; NaN where a label or an interval is missing.
        label_names: name of each label id.
        measure: what the axis is called.
    """
    arms = list(dict.fromkeys(values["arm"]))
    labels = values.drop_duplicates("label")["label"].tolist()
    looks = _looks(arms)
    written = lettering(label_names)
    with new_figure(path, max(5.0, 0.36 * len(labels) + 1.2), 4.6, written.families) as figure:
        axis = figure.subplots()
        for place, arm in enumerate(arms):
            offset = 0.6 * (place / max(1, len(arms) - 1) - 0.5)
            rows = values[values["arm"] == arm]
            _dots(axis, rows, np.arange(len(labels)) + offset, looks[arm], arm, upright=True)
        names = [_plain(written.names[label]) for label in labels]
        axis.set_xticks(range(len(labels)), names, rotation=60, ha="right", fontsize=7)
        axis.set(ylabel=measure, xlim=(-0.6, len(labels) - 0.4))
        axis.grid(axis="x", visible=False)
        for border in range(1, len(labels)):
            axis.axvline(border - 0.5, color="#DDDDDD", linewidth=0.5)
        handles = {arm_title(arm): _dot_look(arm, look) for arm, look in looks.items()}
        _legend(figure, handles, written.note(labels))


def reliability_diagram(
    path: str | os.PathLike[str], panels: Mapping[str, Mapping[str, Reliability]]
) -> None:
    """Draw accuracy against confidence: what is well calibrated lies on the diagonal.

    Below it a model is too sure. Each dot is a bin; the legend gives the calibration error.

    Args:
        path: the PNG to write.
        panels: title of a panel → name of a model → its bins.
    """
    with new_figure(path, 3.6 * len(panels), 4.6) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, (title, models) in zip(axes, panels.items(), strict=True):
            axis.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=1)
            for place, (name, bins) in enumerate(models.items()):
                axis.plot(
                    bins.confidence,
                    bins.accuracy,
                    color=PALETTE[place % len(PALETTE)],
                    linestyle=_STROKES[place % len(_STROKES)],
                    marker="o",
                    markersize=3.5,
                    label=f"{_plain(name)}: {bins.error:.3f}",
                )
            axis.set(title=_plain(title), xlabel="confidence", xlim=(0, 1), ylim=(0, 1))
            axis.legend(
                loc="upper center",
                bbox_to_anchor=(0.5, -0.15),
                fontsize=7,
                title="calibration error",
                title_fontsize=7,
            )
        axes[0].set_ylabel("accuracy")


def _dots(
    axis: Any,
    rows: pd.DataFrame,
    places: Sequence[float] | NDArray[np.floating],
    look: Mapping[str, Any],
    arm: Arm,
    *,
    upright: bool,
) -> None:
    """Means as dots with intervals; ``upright`` where the values go up the page."""
    reach = rows[["low", "high"]].sub(rows["mean"], axis=0).abs().fillna(0.0).T.to_numpy()
    mark = _dot_look(arm, look)
    axis.errorbar(
        places if upright else rows["mean"],
        rows["mean"] if upright else places,
        **{"yerr" if upright else "xerr": reach},
        **mark,
        markersize=4.5,
        capsize=2,
        elinewidth=1.2,
    )


def _dot_look(arm: Arm, look: Mapping[str, Any]) -> dict[str, Any]:
    """Colour and form by objective, hollow where the stroke is not the first sampler's."""
    return {
        "color": look["color"],
        "linestyle": "",
        "marker": "o" if arm.family is Family.CLASSIFICATION else "D",
        "markerfacecolor": "white" if look["linestyle"] != _STROKES[0] else look["color"],
    }


def _looks(arms: Iterable[Arm]) -> dict[Arm, dict[str, Any]]:
    """Colour by family, stroke by sampler, in the order of appearance."""
    known = list(arms)
    families = list(dict.fromkeys(arm.family for arm in known))
    samplers = list(dict.fromkeys(arm.sampler for arm in known))
    return {
        arm: {
            "color": PALETTE[families.index(arm.family) % len(PALETTE)],
            "linestyle": _STROKES[samplers.index(arm.sampler) % len(_STROKES)],
        }
        for arm in known
    }


def _band(axis: Any, frame: pd.DataFrame, column: str, look: Mapping[str, Any]) -> None:
    """Mean of ``column`` by epoch with its interval; epochs without any value are left out."""
    known = frame.dropna(subset=[column])
    epochs = sorted(known["epoch"].unique())
    if not epochs:
        return
    values = [known.loc[known["epoch"] == epoch, column] for epoch in epochs]
    mean, low, high = np.array([mean_interval(value) for value in values]).T
    axis.fill_between(epochs, low, high, color=look["color"], alpha=0.15, linewidth=0)
    marker = "o" if len(epochs) == 1 else ""
    axis.plot(epochs, mean, linewidth=1.6, marker=marker, markersize=4, **look)


def _legend(figure: Figure, entries: Mapping[str, Mapping[str, Any]], note: str = "") -> None:
    """One legend for all panels, below them: title → how the line or mark looks; then a note."""
    if not entries:
        return
    figure.legend(
        [Line2D([], [], **look) for look in entries.values()],
        [_plain(title) for title in entries],
        loc="outside lower center",
        ncols=min(len(entries), 4),
        title=note or None,
        title_fontsize=8,
    )


def _name_classes(axis: Any, classes: Sequence[tuple[str, NDArray[np.floating]]]) -> None:
    """Write each name at the dot nearest to its class's median: inside the class, mostly.

    A name that would cover one written before is left out, so put the largest class first.
    """
    width = np.ptp(axis.get_xlim())
    written: list[tuple[NDArray[np.floating], NDArray[np.floating]]] = []
    for name, dots in classes:
        nearest = np.abs(dots - np.median(dots, axis=0)).sum(axis=1).argmin()
        centre, line = dots[nearest], _plain(name)
        # Half width and height of 7-point letters, as shares of the panel's width.
        half = width * np.array([0.0075 * _width(line), 0.014])
        if any((np.abs(centre - other) < half + reach).all() for other, reach in written):
            continue
        written.append((centre, half))
        text = axis.text(*centre, line, fontsize=7, ha="center", va="center")
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])


def _square(axis: Any, coordinates: NDArray[np.floating]) -> None:
    """Equal scales in both directions, the middle of the dots in the middle of the panel."""
    axis.grid(visible=False)
    axis.set_box_aspect(1)
    if not len(coordinates):
        return
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    reach = 0.53 * float((high - low).max()) or 1.0
    axis.set(
        xlim=(low[0] + high[0]) / 2 + np.array([-reach, reach]),
        ylim=(low[1] + high[1]) / 2 + np.array([-reach, reach]),
    )


def _width(line: str) -> int:
    """Columns that a line takes: letters of East Asia take two."""
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in line)


def _plain(name: str) -> str:
    """A name as it is to be read: no formula, no line break, not hidden, not endless."""
    line = printable(" ".join(name.split()))
    if _width(line) > _LONGEST_NAME:
        while _width(line) > _LONGEST_NAME - 1:
            line = line[:-1]
        line += "…"
    line = line.replace("$", r"\$")
    # matplotlib hides legend entries that start with an underscore.
    return f" {line}" if line.startswith("_") else line
