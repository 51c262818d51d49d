"""What decides between the families: variants of a corpus, sweeps, and the rule."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.linear_model import Ridge

from studies import answers, deciding, deciding_page, deciding_rule
from studies.deciding_jobs import Training, epochs_until, run_trainings
from studies.deciding_tables import PURPOSES, Table, run_tables
from studies.deciding_variants import (
    SWEEPS,
    TEST_ROWS,
    Design,
    Point,
    designs,
    fitting,
    table_of,
    thinned,
    unequal,
)
from studies.inputs import store
from studies.label_noise import along_confusion, uniform
from textmetric.compare import compare
from textmetric.compare.prior import Facts
from textmetric.errors import UserError
from textmetric.files import read_json
from textmetric.grid import Family
from textmetric.params import read
from textmetric.text import TokenizedCorpus, tokenize_corpus

ROOT = Path(__file__).parents[2]


def frame_of(classes: int, rows: int, seed: int = 0) -> pd.DataFrame:
    """Texts with two words of their class, two of any, and one of their own."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        [
            {
                "text": f"c{label}a{rng.integers(3)} c{label}b any{rng.integers(9)} "
                f"all{rng.integers(9)} s{seed}n{label}x{row}",
                "label": f"class {label}",
            }
            for label in range(classes)
            for row in range(rows)
        ]
    )


@pytest.fixture(scope="module")
def corpus() -> TokenizedCorpus:
    frame = frame_of(6, 60)
    frame["split"] = np.resize(["train", "train", "validation", "test"], len(frame))
    return tokenize_corpus(frame, min_freq=1, max_size=None, progress=False)


# ---------------------------------------------------------------- variants


def test_unequal_classes_are_a_geometric_series_with_the_same_sum() -> None:
    found = unequal(20, 25, 10.0)
    assert found.sum() == 500
    assert found.max() / found.min() == pytest.approx(10, rel=0.1)
    steps = found[:-1] / found[1:]
    assert steps.max() / steps.min() < 1.25
    assert unequal(4, 10, 1.0).tolist() == [10] * 4


def rows_of(corpus: TokenizedCorpus, part: str, known: set[str]) -> list[tuple[str, ...]]:
    """The known words of each text, in its order: a smaller train part knows fewer."""
    words, tokens = corpus.vocabulary.tokens, getattr(corpus, part).tokens.whole()
    return [
        tuple(words[token] for token in tokens.ids[start:end] if words[token] in known)
        for start, end in pairwise(tokens.offsets.tolist())
    ]


def test_a_larger_point_contains_a_smaller_one_and_the_test_part_stays(
    corpus: TokenizedCorpus,
) -> None:
    small = thinned(corpus, 20, Point(classes=4, rows=5), seed=3)
    large = thinned(corpus, 20, Point(classes=4, rows=20), seed=3)
    uneven = thinned(corpus, 20, Point(classes=4, rows=10, ratio=3.0), seed=3)
    noisy = thinned(corpus, 20, Point(classes=4, rows=20, noise=0.4), seed=3)
    every = set(corpus.vocabulary.tokens)  # each train text has a word of its own
    assert set(rows_of(small, "train", every)) < set(rows_of(large, "train", every))
    known = set.intersection(
        *(set(made.vocabulary.tokens) for made in (small, large, uneven, noisy))
    ) - {"<unk>"}
    for other in (large, uneven, noisy):
        assert rows_of(other, "test", known) == rows_of(small, "test", known)
        assert other.test.labels.tolist() == small.test.labels.tolist()
    assert np.bincount(small.test.labels).tolist() == [TEST_ROWS] * 4
    assert np.bincount(large.train.labels).tolist() == [20] * 4
    assert sorted(np.bincount(uneven.train.labels), reverse=True) == unequal(4, 10, 3.0).tolist()
    wrong = np.asarray(noisy.train.labels) != np.asarray(large.train.labels)
    assert wrong.mean() == pytest.approx(0.4)
    # a class keeps its name
    for made in (small, noisy):
        assert len(made.label_names) == 4
        assert set(made.label_names) <= set(corpus.label_names)
    names = {f"c{label}b" for label in range(6)}
    for words, label in zip(rows_of(small, "test", names), small.test.labels, strict=True):
        assert words == (f"c{small.label_names[label].split()[1]}b",)
    other = thinned(corpus, 20, Point(classes=4, rows=5), seed=4)
    assert rows_of(other, "train", every) != rows_of(small, "train", every)


def test_classes_without_enough_rows_do_not_fit(corpus: TokenizedCorpus) -> None:
    assert fitting(corpus, 30).tolist() == [0, 1, 2, 3, 4, 5]
    assert fitting(corpus, 31).tolist() == []


def test_wrong_labels_are_as_many_as_asked_and_never_right() -> None:
    labels = np.repeat([0, 1, 2], 30)
    texts = [f"word{label} {'both' if label < 2 else 'other'}" for label in labels]
    for found in (
        uniform(labels, 0.2, np.random.default_rng(0)),
        along_confusion(texts, labels, 0.2, np.random.default_rng(0)),
    ):
        assert (found != labels).sum() == 18
    # classes 0 and 1 share a word, so they are taken for one another more often
    many = [along_confusion(texts, labels, 0.3, np.random.default_rng(seed)) for seed in range(9)]
    of_first = np.concatenate([each[:30] for each in many])
    assert (of_first == 1).sum() > 2 * (of_first == 2).sum()


def test_tables_have_what_their_design_says() -> None:
    frame = frame_of(9, 60)
    found = designs(np.full(9, 60), 8, 200, seed=1)
    assert len(found) == 8
    assert found == designs(np.full(9, 60), 8, 200, seed=1)
    for design in found:
        made = unequal(design.classes, design.rows, design.ratio)
        assert made.min() >= 12
        assert 25 <= made.sum() <= 201
    texts, labels = table_of(frame, Design(3, 20, 3.0, 0.0, False), seed=5)
    counts = pd.Series(labels).value_counts()
    assert counts.tolist() == unequal(3, 20, 3.0).tolist()
    words = [f"c{label.split()[1]}b" for label in labels]
    assert all(word in text for word, text in zip(words, texts, strict=True))
    _, noisy = table_of(frame, Design(3, 20, 3.0, 0.3, False), seed=5)
    assert sum(a != b for a, b in zip(labels, noisy, strict=True)) == 18
    # more classes than a table of 300 rows holds
    assert max(design.classes for design in designs(np.full(200, 20), 9, 300, seed=0)) <= 25
    with pytest.raises(UserError, match="is too small for 2 tables"):
        designs(np.array([5, 40]), 2, 200, seed=0)


# ---------------------------------------------------------------- sweeps


def test_the_speed_is_the_first_epoch_near_the_end() -> None:
    assert epochs_until([0.1, 0.46, 0.4, 0.5]) == 2
    assert epochs_until([0.5]) == 1


def made_sweeps(seeds: int = 5) -> pd.DataFrame:
    """In corpus a the difference is −.1, 0, +.1 for 4, 8, 16 classes; in b it is always +.2."""
    rng = np.random.default_rng(0)
    rows = []
    for corpus, differences in (("a", (-0.1, 0.0, 0.1)), ("b", (0.2, 0.2, 0.2))):
        for level, difference in zip((4.0, 8.0, 16.0), differences, strict=True):
            for seed in range(seeds):
                for family in Family:
                    value = 0.5 + (difference if family is Family.METRIC else 0)
                    rows.append(
                        {"sweep": "classes", "level": level, "corpus": corpus, "family": family}
                        | {"seed": seed, "map_at_r": value + 0.003 * rng.normal()}
                        | {"accuracy": 0.9 + 0.003 * rng.normal(), "steps": 30.0}
                    )
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_slopes_are_by_seed_and_doubling() -> None:
    values = deciding_page.by_seed(made_sweeps().sort_values("level"), "classes", "map_at_r")
    found = deciding_page.slopes(values, log=True)
    for corpus in ("a", "b"):
        for seed in range(5):
            points = [np.subtract(*values[corpus, level])[seed] for level in (4.0, 8.0, 16.0)]
            assert found[corpus][seed] == pytest.approx(np.polyfit([2, 3, 4], points, 1)[0])
    plain = deciding_page.slopes(values, log=False)["a"][0]
    points = [np.subtract(*values["a", level])[0] for level in (4.0, 8.0, 16.0)]
    assert plain == pytest.approx(np.polyfit([4, 8, 16], points, 1)[0])


def test_a_sweep_is_judged_by_its_direction() -> None:
    said, section = deciding_page._sweep(made_sweeps().sort_values("level"), "classes")
    assert said == (
        "MAP@R: rises in 1 of 2 corpora, falls in 0. k-NN accuracy: rises in 0 of 2 corpora, falls "
        "in 0"
    )
    assert (
        "; at 4, metric learning is better in 1 and classification in 1; at the largest, metric "
        "learning is better in 2 and classification in 0." in section[1]
    )
    assert "| a | MAP@R | 4 to 16 | -0." in section[2]


def test_small_tables_get_more_epochs(corpus: TokenizedCorpus) -> None:
    params = read(ROOT / "params.yaml")
    few = thinned(corpus, 20, Point(classes=4, rows=5), seed=0)
    found = deciding.training(Path("x"), few, Family.METRIC, Point(width=8), 0, params)
    assert isinstance(found, Training)
    assert found.settings.epochs == 300  # one step an epoch
    assert found.model.dim == 8
    assert found.objective == {"name": "triplet"}
    warm = deciding.training(
        Path("x"), corpus, Family.CLASSIFICATION, Point(temperature=0.2, in_batch=4), 0, params
    )
    assert warm.objective == {"name": "norm_softmax", "temperature": 0.2}
    assert warm.in_batch == 4
    assert deciding.able(SWEEPS["classes"], 40)[-1].classes == 32


def test_a_training_is_measured_on_both_parts(corpus: TokenizedCorpus, tmp_path: Path) -> None:
    made = thinned(corpus, 20, Point(classes=4, rows=20), seed=0)
    params = read(ROOT / "params.yaml")
    job = deciding.training(store(made, tmp_path), made, Family.METRIC, Point(width=16), 0, params)
    (found,) = run_trainings([job], tmp_path / "results")
    # two words of a class make its texts easy to find
    assert min(found[name] for name in ("map_at_r", "accuracy")) > 0.95
    assert min(found[f"validation_{name}"] for name in ("map_at_r", "accuracy")) > 0.95
    assert 1 <= found["steps"] <= 300


def test_a_table_is_compared_as_compare_does(tmp_path: Path) -> None:
    texts, labels = table_of(frame_of(3, 40), Design(3, 14, 1.0, 0.3, False), seed=1)
    (found,) = run_tables([Table(texts, labels, 5, 7)], tmp_path)
    for purpose in PURPOSES:
        oracle = compare(texts, labels, purpose, splits=5, seed=7, workers=1)
        families = [oracle.of_family(family) for family in (Family.METRIC, Family.CLASSIFICATION)]
        assert found[purpose] == pytest.approx(np.subtract(*families))
    assert any(found["classify"])
    assert found["facts"]["log_classes"] == pytest.approx(math.log(3))


# ---------------------------------------------------------------- the rule


def tables(seed: int = 0, corpora: int = 5, of_each: int = 8) -> pd.DataFrame:
    """The difference is .05 · (log classes − 3) plus a little noise."""
    rng = np.random.default_rng(seed)
    facts = rng.normal(3, 1, size=(corpora * of_each, 4))
    frame = pd.DataFrame(facts, columns=list(Facts._fields))
    frame["corpus"] = np.repeat([f"corpus {place}" for place in range(corpora)], of_each)
    noise = 0.005 * rng.normal(size=len(frame))
    frame["classify"] = 0.05 * (frame["log_classes"] - 3) + noise
    frame["retrieval"] = 0.05 * rng.normal(size=len(frame))
    return frame


def test_the_fit_is_a_weighted_ridge_regression() -> None:
    frame = tables().iloc[:-5]  # the last corpus has fewer tables
    facts = frame[list(Facts._fields)].to_numpy()
    corpora = frame["corpus"].astype("category").cat.codes.to_numpy()
    line = deciding_rule.fit(facts, frame["classify"].to_numpy(), corpora, 2.0)
    weights = frame.groupby("corpus")["corpus"].transform("size").to_numpy() ** -1.0
    weights *= len(weights) / weights.sum()
    rows = (facts - line.centre) / line.scale
    assert np.average(rows, axis=0, weights=weights) == pytest.approx(np.zeros(4), abs=1e-9)
    assert np.average(rows**2, axis=0, weights=weights) == pytest.approx(np.ones(4))
    oracle = Ridge(alpha=2.0).fit(rows, frame["classify"], sample_weight=weights)
    assert line.coefficients == pytest.approx(oracle.coef_)
    assert line.expected(facts) == pytest.approx(oracle.predict(rows))
    even = deciding_rule.fit(np.ones((6, 4)), np.arange(6.0), np.arange(6), 1.0)
    assert even.expected(np.ones((1, 4))) == pytest.approx([2.5])  # facts that do not vary


def test_a_corpus_that_is_left_out_changes_nothing_that_is_expected_of_it() -> None:
    frame = tables()
    before = deciding_rule.left_out(frame, "classify")
    changed = frame.copy()
    of_first = changed["corpus"] == "corpus 0"
    changed.loc[of_first, "classify"] += 5
    after = deciding_rule.left_out(changed, "classify")
    names = ["expected", "low", "high", "mean", "usual"]
    pd.testing.assert_frame_equal(before.loc[of_first, names], after.loc[of_first, names])
    assert not np.allclose(before.loc[~of_first, "expected"], after.loc[~of_first, "expected"])
    rest = frame[~of_first]
    rule = deciding_rule.fitted(
        rest[list(Facts._fields)].to_numpy(),
        rest["classify"].to_numpy(),
        rest["corpus"].astype("category").cat.codes.to_numpy(),
    )
    half = (before.loc[of_first, "high"] - before.loc[of_first, "expected"]).to_numpy()
    assert half == pytest.approx(np.full(8, t.ppf(0.975, 4 - 1) * rule.residual_sd))
    others = frame[frame["corpus"] != "corpus 0"].groupby("corpus")["classify"].mean().mean()
    assert before.loc[of_first, "mean"].to_numpy() == pytest.approx(np.full(8, others))


def test_a_rule_is_better_than_the_usual_winner_where_there_is_one_to_find() -> None:
    found = deciding_rule.score(deciding_rule.left_out(tables(), "classify"))
    assert found.right == found.clear
    assert found.usual < 0.7 * found.clear
    assert found.error < 0.3 * found.mean_error
    assert found.covered >= 0.9
    nothing = deciding_rule.score(deciding_rule.left_out(tables(), "retrieval"))
    assert abs(nothing.right / nothing.clear - 0.5) < 0.25


def test_a_rule_is_better_only_if_its_interval_is_above_0() -> None:
    said = deciding_page._against_usual
    assert said((0.1, 0.01, 0.2)) == "the rule is better"
    assert said((-0.1, -0.2, -0.01)) == "it is worse"
    assert said((0.1, -0.01, 0.2)) == said((0.1, math.nan, math.nan)) == "no difference"


def test_a_score_counts_clear_tables() -> None:
    frame = pd.DataFrame(
        {
            "corpus": ["a", "a", "b", "b"],
            "measured": [0.2, -0.2, 0.005, -0.3],
            "expected": [0.1, 0.1, -0.1, -0.1],
            "low": [-0.1, -0.1, -0.3, -0.2],
            "high": [0.3, 0.3, 0.1, 0.0],
            "mean": 0.0,
            "usual": -1.0,
        }
    )
    found = deciding_rule.score(frame)
    assert (found.clear, found.right, found.usual) == (3, 2, 2)
    assert found.error == pytest.approx(np.mean([0.1, 0.3, 0.105, 0.2]))
    assert found.mean_error == pytest.approx(np.mean([0.2, 0.2, 0.005, 0.3]))
    assert found.covered == 0.5
    assert found.by_corpus.tolist() == [0.0, 0.0]


# ---------------------------------------------------------------- the program


def test_the_program_writes_page_pictures_and_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {
        "rows": SWEEPS["rows"]._replace(levels=(5, 10, 20), base=Point(classes=3), needed=20),
        "batch": SWEEPS["batch"]._replace(
            levels=(2, 3, 4), base=Point(classes=4, rows=10), needed=20
        ),
    }
    for module in (deciding, deciding_page):
        monkeypatch.setattr(module, "SWEEPS", few)
    monkeypatch.setattr(deciding, "STEPS", 4)
    words = ["--corpora"]
    for place, classes in enumerate((6, 3, 3)):
        # the tests of 60 rows a class are too small for sweeps
        frame_of(classes, 60 if place else 90, seed=place).to_csv(
            tmp_path / f"t{place}.csv", index=False
        )
        words.append(str(tmp_path / f"t{place}.csv"))
    words += ["--params", str(ROOT / "params.yaml"), "--results", str(tmp_path / "results")]
    words += ["--seeds", "0", "1", "2", "--epochs", "1", "--tables", "2", "--splits", "1"]
    words += ["--most", "120", "--out", str(tmp_path), "--rule", str(tmp_path / "rule.json")]
    deciding.main(deciding.parser().parse_args(words))
    text = (tmp_path / "deciding.md").read_text()
    assert "6 tables of at most 120 rows were drawn from 3 corpora" in text
    asked = [each["question"] for each in answers.read([tmp_path / "deciding.md"])]
    assert asked == [
        "What decides between the families: the rows a class?",
        "What decides between the families: the classes in a batch, where classes are unequal "
        "(10 : 1)?",
        "Can the better family be told from facts of a table?",
    ]
    for name in ("sweeps", "rule"):
        assert (tmp_path / f"deciding-{name}.png").stat().st_size > 5_000
    rule = read_json(tmp_path / "rule.json")
    assert rule["corpora"] == ["t0.csv", "t1.csv", "t2.csv"]
    assert set(rule["purposes"]) == {"classify", "retrieval"}
    assert not math.isnan(rule["purposes"]["classify"]["residual_sd"])
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "results/deciding").iterdir()}
    assert len(done) == (3 + 3) * 3 * 2 + 6
    deciding.main(deciding.parser().parse_args(words))
    assert (tmp_path / "deciding.md").read_text() == text
    assert done == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "results/deciding").iterdir()
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--corpora", "a", "b"], "--corpora has 2: give 3 or more"),
        (["--corpora", "a", "b", "c", "--tables", "0"], "--tables is 0"),
        (["--corpora", "a", "b", "c", "--most", "50"], "--most is 50, expected at least 100"),
    ],
)
def test_wrong_options_are_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        deciding.main(deciding.parser().parse_args([*words, "--params", str(ROOT / "params.yaml")]))
    assert message in str(raised.value)
