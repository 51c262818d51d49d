from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from textmetric.grid import ARMS, Arm, Family
from textmetric.measures import Outcome, reliability
from textmetric.report.figures import (
    Answer,
    answers,
    finetune_curves,
    label_dots,
    label_efficiency,
    learning_curves,
    measure_dots,
    reliability_diagram,
    rows_histogram,
    tsne_panels,
)

RED = (0xD6, 0x27, 0x28)


def panels(arms: int = 4, classes: int = 7, rows: int = 200) -> tuple[dict, np.ndarray, list[str]]:
    random = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    centres = 20 * random.normal(size=(classes, 2))
    coordinates = {
        arm: (centres[labels] + random.normal(size=(rows, 2))).astype(np.float32)
        for arm in ARMS[:arms]
    }
    return coordinates, labels, [f"class {label}" for label in range(classes)]


def curves(seeds: int = 3, epochs: int = 4) -> dict[Arm, pd.DataFrame]:
    index = pd.MultiIndex.from_product([range(seeds), range(1, epochs + 1)])
    frames = {}
    for arm in ARMS:
        frame = pd.DataFrame(
            {"seed": index.get_level_values(0), "epoch": index.get_level_values(1)}
        )
        frame["loss"] = 1 / frame["epoch"] + 0.01 * frame["seed"]
        frame["active_fraction"] = (
            np.nan if arm.family is Family.CLASSIFICATION else 0.5 / frame["epoch"]
        )
        frame["validation_map_at_r"] = 0.5 + 0.05 * frame["epoch"] + 0.01 * frame["seed"]
        frames[arm] = frame
    return frames


def transfers(
    seeds: int = 3, *, shares: tuple[float, ...] = (0.01, 0.1, 1.0), epochs: int = 3
) -> dict[str, pd.DataFrame]:
    frames = {}
    for place, init in enumerate(("cls", "metric", "scratch")):
        index = pd.MultiIndex.from_product(
            [("frozen", "finetuned"), (True, False), shares, range(seeds), range(1, epochs + 1)],
            names=["tuning", "tanh", "share", "seed", "epoch"],
        )
        frame = index.to_frame(index=False)
        score = 0.7 - 0.04 * place + 0.1 * frame["share"] + 0.01 * frame["seed"]
        frame["validation_accuracy"] = score + 0.03 * frame["epoch"]
        frame["validation_loss"] = 1 / frame["epoch"] + 0.1 * place
        frame["test_accuracy"] = score.where(frame["epoch"] == epochs)
        frames[init] = frame
    return frames


def values(half: float = 0.01) -> pd.DataFrame:
    return pd.DataFrame(
        [
            [split, arm, measure, 0.5, 0.5 - half, 0.5 + half]
            for split in ("target", "source")
            for arm in ARMS
            for measure in ("map_at_r", "knn_accuracy", "cohesion", "between_class_cosine")
        ],
        columns=["split", "arm", "measure", "mean", "low", "high"],
    )


def draw_tsne(path: Path) -> None:
    coordinates, labels, names = panels()
    tsne_panels(path, coordinates, labels, names, scarce=[2])


def uses(*outcomes: Outcome, width: float = 0.02) -> list[Answer]:
    """Each use with its difference to the right of the one before."""
    return [
        (f"use {place}", (middle, middle - width, middle + width), outcome)
        for place, outcome in enumerate(outcomes)
        for middle in [0.1 * (place - 1)]
    ]


FIGURES: dict[str, Callable[[Path], None]] = {
    "tsne": draw_tsne,
    "curves": lambda path: learning_curves(path, curves()),
    "finetune": lambda path: finetune_curves(path, transfers()),
    "label efficiency": lambda path: label_efficiency(path, transfers()),
    "dots": lambda path: measure_dots(path, values()),
    "answers": lambda path: answers(path, uses(Outcome.FIRST, Outcome.SECOND), "difference"),
}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def red(path: Path) -> int:
    """Pixels about as red as a scarce class, over white or not."""
    picture = pixels(path).astype(int)
    return int((np.abs(picture - RED).sum(axis=2) < 40).sum())


PALETTE = {"blue": (0, 0x72, 0xB2), "orange": (0xE6, 0x9F, 0), "green": (0, 0x9E, 0x73)}


def colours(path: Path) -> set[str]:
    """Which of the palette's colours the picture has in full."""
    picture = pixels(path).reshape(-1, 3)
    return {name for name, rgb in PALETTE.items() if (picture == rgb).all(1).any()}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_same_data_same_bytes_of_a_sensible_size(
    draw: Callable[[Path], None], tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(tmp_path / "one.png")
        draw(tmp_path / "two.png")
    data = (tmp_path / "one.png").read_bytes()
    assert data == (tmp_path / "two.png").read_bytes()
    assert len(data) < 500_000
    assert b"matplotlib" not in data.lower()
    height, width, _ = pixels(tmp_path / "one.png").shape
    assert 800 <= width <= 1300
    assert 150 <= height <= 1300


def test_the_users_style_does_not_change_the_bytes(tmp_path: Path) -> None:
    import matplotlib

    draw_tsne(tmp_path / "one.png")
    with matplotlib.rc_context({"font.size": 20, "figure.facecolor": "black"}):
        draw_tsne(tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_thousand_and_a_half_dots_of_many_classes_stay_below_half_a_megabyte(
    tmp_path: Path,
) -> None:
    coordinates, labels, names = panels(classes=219, rows=1500)
    tsne_panels(tmp_path / "many.png", coordinates, labels, names, scarce=range(30))
    assert (tmp_path / "many.png").stat().st_size < 500_000


@pytest.mark.parametrize("classes", [7, 40])
def test_red_is_for_scarce_classes_only(classes: int, tmp_path: Path) -> None:
    coordinates, labels, names = panels(classes=classes)
    tsne_panels(tmp_path / "with.png", coordinates, labels, names, scarce=[1, 3])
    tsne_panels(tmp_path / "without.png", coordinates, labels, names)
    assert red(tmp_path / "with.png") > 100
    assert red(tmp_path / "without.png") == 0


def test_classes_keep_their_colours_when_another_is_scarce(tmp_path: Path) -> None:
    coordinates, labels, names = panels(arms=1, classes=3)
    # The legend has the full colour, the dots have it mixed with white.
    tsne_panels(tmp_path / "one.png", coordinates, labels, names)
    assert colours(tmp_path / "one.png") == {"blue", "orange", "green"}
    tsne_panels(tmp_path / "one.png", coordinates, labels, names, scarce=[0])
    assert colours(tmp_path / "one.png") == {"orange", "green"}


@pytest.mark.parametrize("arms", [1, 2, 3, 4])
def test_any_number_of_arms_is_drawn(arms: int, tmp_path: Path) -> None:
    coordinates, labels, names = panels(arms=arms)
    tsne_panels(tmp_path / "arms.png", coordinates, labels, names, scarce=[0])
    assert red(tmp_path / "arms.png") > 20 * arms


@pytest.mark.parametrize(
    "coordinates",
    [np.zeros((0, 2)), np.zeros((1, 2)), np.zeros((30, 2)), np.full((30, 2), 1e-14)],
    ids=["no dot", "one dot", "one place", "hardly apart"],
)
def test_degenerate_coordinates_are_drawn(coordinates: np.ndarray, tmp_path: Path) -> None:
    labels = np.zeros(len(coordinates), dtype=np.int32)
    tsne_panels(tmp_path / "few.png", {ARMS[0]: coordinates}, labels, ["only"])
    assert pixels(tmp_path / "few.png").min() < 100


def test_names_are_text_and_not_formulas(tmp_path: Path) -> None:
    coordinates, labels, _ = panels(arms=1, classes=4)
    names = ["_private", "$a_{b$", "two\nlines", "n" * 200]
    tsne_panels(tmp_path / "names.png", coordinates, labels, names)
    tsne_panels(tmp_path / "plain.png", coordinates, labels, ["private", "a", "two lines", "n"])
    assert not np.array_equal(pixels(tmp_path / "names.png"), pixels(tmp_path / "plain.png"))


def test_one_seed_is_drawn_without_a_band(tmp_path: Path) -> None:
    shades = []
    for seeds in (1, 2):
        learning_curves(tmp_path / "curves.png", curves(seeds=seeds))
        red, _, blue = pixels(tmp_path / "curves.png").astype(int).transpose(2, 0, 1)
        shades.append(((red < 250) & (abs(red - blue) > 12)).sum())  # neither grey nor white
    assert shades[1] > 1.5 * shades[0]


@pytest.mark.parametrize("draw", [finetune_curves, label_efficiency])
def test_the_transfer_of_one_seed_epoch_and_share_is_drawn(
    draw: Callable[[Path, dict], None], tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(tmp_path / "one.png", transfers(seeds=1, shares=(1.0,), epochs=1))
    assert colours(tmp_path / "one.png") == {"blue", "orange"}


@pytest.mark.parametrize("draw", [finetune_curves, label_efficiency])
def test_the_transfer_has_a_panel_for_each_tuning_and_head_there_is(
    draw: Callable[[Path, dict], None], tmp_path: Path
) -> None:
    widths = []
    for heads in ([True], [True, False]):
        frames = {init: frame[frame["tanh"].isin(heads)] for init, frame in transfers().items()}
        draw(tmp_path / "heads.png", frames)
        widths.append(pixels(tmp_path / "heads.png").shape[1])
    assert widths[1] == 2 * widths[0]


def test_the_curves_of_the_transfer_are_those_of_the_whole_train_part(tmp_path: Path) -> None:
    finetune_curves(tmp_path / "every.png", transfers())
    finetune_curves(tmp_path / "whole.png", transfers(shares=(1.0,)))
    assert (tmp_path / "every.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_the_seventh_digit_of_a_loss_does_not_change_the_picture(tmp_path: Path) -> None:
    frames = transfers()
    finetune_curves(tmp_path / "one.png", frames)
    for digit in (6e-7, 2e-3):
        other = {
            init: frame.assign(validation_loss=frame["validation_loss"] + digit)
            for init, frame in frames.items()
        }
        finetune_curves(tmp_path / "other.png", other)
        same = (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
        assert same == (digit < 1e-6)


def test_one_epoch_is_a_dot_and_classification_alone_has_no_triplets(tmp_path: Path) -> None:
    frames = curves(epochs=1)
    learning_curves(tmp_path / "all.png", frames)
    learning_curves(tmp_path / "cls.png", {arm: frames[arm] for arm in ARMS[:2]})
    assert pixels(tmp_path / "cls.png").shape[0] < pixels(tmp_path / "all.png").shape[0]


def test_measures_without_interval_are_dots(tmp_path: Path) -> None:
    frame = values()
    measure_dots(tmp_path / "with.png", frame)
    measure_dots(tmp_path / "without.png", frame.assign(low=np.nan, high=np.nan))
    with_bars, dots = (
        (pixels(tmp_path / name).min(axis=2) < 200).sum() for name in ("with.png", "without.png")
    )
    assert 0 < dots < with_bars


@pytest.mark.parametrize("outcome", [Outcome.NO_DIFFERENCE, Outcome.DEPENDS, Outcome.UNKNOWN])
def test_only_a_winner_has_a_filled_dot_in_its_colour(outcome: Outcome, tmp_path: Path) -> None:
    counts = {}
    for name, found in {"none": outcome, "first": Outcome.FIRST, "second": Outcome.SECOND}.items():
        answers(tmp_path / "one.png", uses(outcome, found), "difference")
        picture = pixels(tmp_path / "one.png").reshape(-1, 3)
        counts[name] = {
            key: int((picture == PALETTE[key]).all(1).sum()) for key in ("blue", "orange")
        }
    assert counts["first"]["orange"] > counts["none"]["orange"] + 50
    assert counts["first"]["blue"] == counts["none"]["blue"]
    assert counts["second"]["blue"] > counts["none"]["blue"] + 50
    assert counts["second"]["orange"] == counts["none"]["orange"]


def test_an_answer_without_an_interval_is_a_dot(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers(tmp_path / "one.png", uses(Outcome.UNKNOWN, width=np.nan), "difference")
    assert pixels(tmp_path / "one.png").shape[0] > 100


def test_the_histogram_counts_every_label_once(tmp_path: Path) -> None:
    rows = [1, 1, 2, 5, 40, 900, 900]
    rows_histogram(tmp_path / "one.png", rows, marked=[0, 1])
    rows_histogram(tmp_path / "two.png", rows, marked=[0, 1])
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (pixels(tmp_path / "one.png").reshape(-1, 3) == RED).all(1).any()
    rows_histogram(tmp_path / "plain.png", [7, 7], marked=[])
    assert not (pixels(tmp_path / "plain.png").reshape(-1, 3) == RED).all(1).any()


def test_label_dots_draw_labels_without_a_value_too(tmp_path: Path) -> None:
    values = pd.DataFrame(
        [
            [label, arm, mean, mean - 0.1, mean + 0.1]
            for arm in (ARMS[0], ARMS[3])
            for label, mean in ((2, 0.3), (0, np.nan), (1, 0.5))
        ],
        columns=["label", "arm", "mean", "low", "high"],
    )
    label_dots(tmp_path / "dots.png", values, ["_b", "c", "a$b"], "cohesion")
    assert (tmp_path / "dots.png").read_bytes().startswith(b"\x89PNG")


def test_a_reliability_diagram_has_a_line_in_a_colour_for_each_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, size=200)
    first = rng.uniform(0.5, 1, size=200)
    bins = reliability(np.stack([first, 1 - first], axis=1), labels)
    none = reliability(np.empty((0, 2)), np.empty(0, dtype=int))
    colours = []
    for name, models in {
        "one": {"a": bins},
        "two": {"a": bins, "b": bins},
        "empty": {"a": none},
    }.items():
        reliability_diagram(tmp_path / f"{name}.png", {"$classes_": models})
        with Image.open(tmp_path / f"{name}.png") as image:
            colours.append({colour for _, colour in image.convert("RGB").getcolors(1 << 20)})
    blue, orange = (0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)
    assert blue in colours[0]
    assert orange not in colours[0]
    assert orange in colours[1]
    again = tmp_path / "again.png"
    reliability_diagram(again, {"$classes_": {"a": bins}})
    assert again.read_bytes() == (tmp_path / "one.png").read_bytes()
