"""Which settings give the cohesions that the original published."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies import published
from studies.trials import Result
from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.params import read
from textmetric.report.original import AG_NEWS_LABELS, COHESION_BY_LABEL

ROOT = Path(__file__).parents[2]
NAMES = sorted(AG_NEWS_LABELS)  # as a corpus has them


def result(family: Family, away: float = 0.0, *, label: str = "World") -> Result:
    """The published cohesions, one of them farther away."""
    by_label = dict(zip(AG_NEWS_LABELS, COHESION_BY_LABEL[family], strict=True))
    by_label[label] += away
    return Result(
        {f"cohesion_{place}": by_label[name] for place, name in enumerate(NAMES)}, [], None
    )


def found() -> pd.DataFrame:
    """Two settings a family: both are near with sgd, and neither with adam."""
    rows, results = [], []
    for family, own in ((Family.CLASSIFICATION, "linear"), (Family.METRIC, "hard")):
        for optimizer, lr, away in (("sgd", 3.0, 0.02), ("adam", 0.01, -0.21)):
            rows.append(
                {"family": family, "optimizer": optimizer, "lr": lr, "sampler": "shuffled"}
                | {"epochs": 3, "own": own}
            )
            results.append(result(family, away))
    return published.measured(pd.DataFrame(rows), results, NAMES)


def test_the_miss_is_that_of_the_label_that_is_farthest_away() -> None:
    rows = pd.DataFrame([{"family": Family.METRIC}] * 2)
    near = result(Family.METRIC, -0.3, label="Sci/Tech")
    failed = Result({}, [], "training diverged")
    table = published.measured(rows, [near, failed], NAMES)
    assert table["Sci/Tech"][0] == pytest.approx(0.65 - 0.3)
    assert table["World"][0] == 0.61
    assert table["miss"][0] == pytest.approx(0.3)
    assert table["average"][0] == pytest.approx((0.61 + 0.72 + 0.58 + 0.35) / 4)
    assert math.isnan(table["miss"][1])
    assert math.isnan(table["average"][1])
    assert list(published.nearest(table, Family.METRIC)["miss"]) == [table["miss"][0]]


def test_both_families_are_compared_where_they_share_the_setting() -> None:
    pairs = published.together(found())
    assert list(pairs["optimizer"]) == ["sgd", "adam"]
    assert list(pairs["miss"]) == pytest.approx([0.02, 0.21])
    gap = np.mean(COHESION_BY_LABEL[Family.METRIC]) - np.mean(
        COHESION_BY_LABEL[Family.CLASSIFICATION]
    )
    assert list(pairs["gap"]) == pytest.approx([gap, gap])
    assert list(pairs["own_metric"]) == ["hard", "hard"]


def test_the_page_counts_what_is_met(tmp_path: Path) -> None:
    again = pd.concat([found().assign(seed=seed) for seed in (1, 2)])
    text = published.page(found(), again, "ag_news (a sample)")
    assert text.count("1 of 2 settings meet all four labels, 1 meet the average") == 2
    assert "1 of 2 pairs that share optimiser" in text
    assert (
        "Classification: 1 of 2 settings meet all four labels (optimiser sgd, batches shuffled"
        in text
    )
    assert "have no value" not in text
    far = found()
    far.loc[far["family"] == Family.METRIC, "miss"] = [0.07, math.nan]
    text = published.page(far, again, "ag_news (a sample)")
    assert (
        "Metric learning: no setting meets all four labels; the nearest misses one by 0.070" in text
    )
    assert "A blank cell" in text
    row = next(line for line in text.splitlines() if line.startswith("| linear | sgd |"))
    assert row == (
        "| linear | sgd | 3 | shuffled | 3 | 0.460 | 0.520 | 0.380 | 0.280 | 0.410 | 0.020 |"
    )
    repeats = next(line for line in text.splitlines() if line.startswith("| 2 other seeds |"))
    assert "0.460 ± 0.000" in repeats
    assert "| miner | hard | – | 0.616 |" in text


def test_there_are_more_than_500_settings_and_none_twice() -> None:
    grid = pd.DataFrame(published.settings(published.EPOCHS))
    assert len(grid) > 500
    assert not grid.duplicated().any()


def test_the_program_searches_and_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"text": f"{label} {' '.join(rng.choice(list('abcdefgh'), 3))} {row}", "label": label}
        for label in AG_NEWS_LABELS
        for row in range(20)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "news.csv", index=False)
    monkeypatch.setattr(published, "RATES", {"sgd": (1.0,), "adagrad": (0.1,)})
    monkeypatch.setattr(published, "NEAREST", 2)
    words = ["--corpus", str(tmp_path / "news.csv"), "--params", str(ROOT / "params.yaml")]
    words += ["--epochs", "1", "--seeds", "0", "1", "2", "--out", str(tmp_path / "out")]
    words += ["--results", str(tmp_path / "results")]
    published.main(published.parser().parse_args(words))
    # 2 rates, 2 samplers, and 2 decays or 5 miners; then some of them with two other seeds
    trained = [*(tmp_path / "results" / "published").glob("*.json")]
    assert 28 < len(trained) <= 28 + 2 * 2 * 5
    text = (tmp_path / "out" / "published.md").read_text()
    assert "28 settings were trained" in text
    assert (tmp_path / "out" / "published.png").stat().st_size > 10_000
    published.main(published.parser().parse_args(words))
    assert [*(tmp_path / "results" / "published").glob("*.json")] == trained

    frame = pd.DataFrame(rows).replace("World", "Sport")
    frame.to_csv(tmp_path / "news.csv", index=False)
    with pytest.raises(UserError, match=r"expected World, Sports, Business, Sci/Tech"):
        published.main(published.parser().parse_args(words))


def test_a_pair_is_as_far_as_the_farther_of_both() -> None:
    table = found()
    table.loc[(table["family"] == Family.METRIC) & (table["optimizer"] == "sgd"), "miss"] = 0.5
    assert list(published.together(table)["miss"]) == pytest.approx([0.5, 0.21])
    again = pd.concat([table.assign(seed=seed) for seed in (1, 2)])
    assert "0 of 2 settings meet all four labels" in published.page(table, again, "a corpus")


def test_classification_is_trained_with_its_decay() -> None:
    row = next(row for row in published.settings([1]) if row["own"] == "constant")
    trial = published._trial(row, Path("corpus"), read(ROOT / "params.yaml"), 0)
    assert trial.settings.decay == "constant"
