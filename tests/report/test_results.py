from __future__ import annotations

import dataclasses
import re
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from tests.report.fake_study import ARMS, KEYS, SPLITS, change, read, write_study
from textmetric.errors import UserError
from textmetric.files import read_arrays, read_json, write_arrays, write_json
from textmetric.grid import Baseline, Layout
from textmetric.params import Model
from textmetric.report.cost_table import write_costs
from textmetric.report.document import build_document
from textmetric.report.findings.finding import statistic_rows
from textmetric.report.findings.transfers import label_efficiency
from textmetric.report.formats import cell_value
from textmetric.report.markdown import write_markdown
from textmetric.report.pictures import draw_pictures
from textmetric.report.study import Study

CLS_SHUFFLED, CLS_BALANCED, METRIC_SHUFFLED, METRIC_BALANCED = ARMS


def write_results(root: Path, study: Study) -> None:
    """What the stage report does."""
    draw_pictures(Layout(root), study)
    write_text(root, study)


def write_text(root: Path, study: Study) -> None:
    """What the stage report does, without the pictures."""
    write_markdown(Layout(root).results, build_document(study), folder="reports")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    write_study(root, [0, 1, 2])
    write_results(root, read(root))
    return root


def text_of(root: Path) -> str:
    """The report, except for the answers of other studies, which are no part of the run."""
    text = Layout(root).results.read_text(encoding="utf-8")
    before, _, rest = text.partition('<a id="answers"></a>')
    return before + rest[rest.index("<a id=") :]


def test_every_table_has_rows_of_one_length(study: Path) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", text_of(study), re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(cells) == 1, block


def test_the_same_input_gives_the_same_bytes(study: Path) -> None:
    files = [path for path in (study / "reports").rglob("*.*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    write_results(study, read(study))
    assert {path: path.read_bytes() for path in files} == before


def test_one_seed_has_no_intervals_and_says_so(tmp_path: Path) -> None:
    write_study(tmp_path, [7])
    write_text(tmp_path, read(tmp_path))
    assert "One seed only" in text_of(tmp_path)
    assert "±" not in text_of(tmp_path)


def test_a_missing_file_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    (tmp_path / "data/curves/cls/target/target/shuffled.csv").unlink()
    with pytest.raises(
        UserError, match=r"cls/target/target/shuffled\.csv is missing: run the stage"
    ):
        write_results(tmp_path, read(tmp_path))
    Layout(tmp_path).record(CLS_SHUFFLED, KEYS["target"]).unlink()
    with pytest.raises(
        UserError, match=r"cls/target/target/shuffled\.json is missing: run the stage"
    ):
        write_results(tmp_path, read(tmp_path))
    assert not (tmp_path / "reports").exists()


def test_only_the_splits_and_arms_asked_for_are_read(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    Layout(tmp_path).record(CLS_SHUFFLED, KEYS["source"]).write_text("damaged")
    arms = [CLS_SHUFFLED, METRIC_SHUFFLED]
    write_text(tmp_path, read(tmp_path, ["target"], arms))
    assert "balanced" not in text_of(tmp_path)
    assert "my source" not in text_of(tmp_path)


def test_figures_of_a_split_that_is_gone_go_too(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    stale = tmp_path / "reports" / "figures" / "stale.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    write_results(tmp_path, read(tmp_path, ["target"]))
    assert not stale.exists()


def test_a_record_of_another_version_is_named_with_the_key_it_lacks(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    change(tmp_path, "target", CLS_BALANCED, label_names=None)
    with pytest.raises(UserError, match=r"balanced\.json lacks 'label_names': run the stage"):
        write_results(tmp_path, read(tmp_path))


def test_arms_of_other_seeds_cannot_be_paired(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    change(tmp_path, "target", METRIC_SHUFFLED, seeds=[0, 7])
    with pytest.raises(UserError, match=r"has the seeds \[0, 7\], but cls_shuffled has \[0, 1\]"):
        write_results(tmp_path, read(tmp_path))


@pytest.mark.parametrize("seeds", [[0, 7], [7], []])
def test_baselines_have_the_seeds_of_the_arms_or_the_first_alone(
    tmp_path: Path, seeds: list[int]
) -> None:
    write_study(tmp_path, [0, 1])
    path = Layout(tmp_path).baseline(Baseline.UNTRAINED, KEYS["target"])
    write_json(path, read_json(path) | {"seeds": seeds})
    with pytest.raises(UserError, match=r"untrained\.json has the seeds .* run stage baselines"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"arms": np.array(["metric_balanced"])}, "is damaged"),
        ({"arms": np.array(["metric_other", "metric_balanced"])}, "is damaged"),
        ({"arms": np.array(["cls_shuffled", "metric_balanced"])}, "no map of metric_shuffled"),
    ],
)
def test_maps_that_do_not_fit_the_arms_are_named(
    tmp_path: Path, arrays: dict[str, np.ndarray], said: str
) -> None:
    write_study(tmp_path, [0, 1])
    path = Layout(tmp_path).map(METRIC_SHUFFLED.family, KEYS["target"])
    write_arrays(path, **read_arrays(path) | arrays)
    with pytest.raises(UserError, match=rf"target\.npz .*{said}.*: run stage tsne again"):
        write_results(tmp_path, read(tmp_path))


def test_costs_tell_seconds_and_memory_of_every_arm(study: Path) -> None:
    write_costs(Layout(study), splits=list(KEYS.values()), arms=ARMS)
    text = (study / "reports" / "costs.md").read_text()
    assert "| source | metric learning, balanced | 1.50 ± 0.00 | 3.0 | 300 |" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + 4 * len(SPLITS)


HOSTILE = ["<script>x</script>", "[a](javascript:b)|`", "![](http://a.b)\n# c\x1b[0m **d**"]


def test_names_from_the_data_are_no_markup_in_any_part_of_the_report(tmp_path: Path) -> None:
    name = "/".join(HOSTILE)
    corpora = {role: {"name": f"nowhere/{name}"} for role in ("target", "source")}
    write_study(tmp_path, [0, 1, 2], corpora)
    write_json(
        Layout(tmp_path).objective(METRIC_SHUFFLED.family),
        {"name": "triplet", "parameters": {"miner": name}},
    )
    for path in (tmp_path / "data/measures").rglob("*.json"):
        known = read_json(path)
        names = [f"{HOSTILE[place % 3]} 文{place}" for place in range(len(known["label_names"]))]
        write_json(path, known | {"label_names": names})
    model = Model(vectors=name, layer="linear")
    found = {"target": 0.5, "source": 0.5}
    study = dataclasses.replace(read(tmp_path), model=model, found=found)
    write_markdown(Layout(tmp_path).results, build_document(study), folder="reports")
    write_costs(Layout(tmp_path), splits=list(KEYS.values()), arms=ARMS)
    for page in (Layout(tmp_path).results, Layout(tmp_path).cost_table):
        tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
        inner = [each for token in tokens for each in token.children or []]
        html = [each.content for each in [*tokens, *inner] if each.type.startswith("html")]
        assert all(re.fullmatch(r'(<a id="[\w-]+">|</a>)\n*', each) for each in html)
        links = {each.attrs["href"] for each in inner if each.type == "link_open"}
        assert all(
            re.fullmatch(r"#[\w-]+|costs\.md|\.\./docs/[\w-]+\.md", str(link)) for link in links
        )
        images = [each.attrs["src"] for each in inner if each.type == "image"]
        assert all(re.fullmatch(r"(\.\./plots/tsne|figures)/[\w.-]+", str(i)) for i in images)
        titles = [a.content for a, b in zip(tokens[1:], tokens, strict=False)
                  if b.type == "heading_open"]  # fmt: skip
        assert not any(title.startswith("c") for title in titles)
    text = text_of(tmp_path)
    assert "\x1b" not in text
    assert r"shows the label's number: label 0 is \<script\>x\</script\> 文0, label 1 is" in text
    # a row a label, each of one length
    test_every_table_has_rows_of_one_length(tmp_path)


RARE = {key: np.zeros((2, 30)) for key in ("sufficient_cosine", "among_scarce_cosine")}


def section(text: str, title: str) -> str:
    """What is under a heading, up to the next one of any level."""
    found = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))[title]


def row(text: str, name: str) -> list[str]:
    """The cells of the first row of that name."""
    return next(
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[2:-1]]
        for line in text.splitlines()
        if line.startswith(f"| {name} |")
    )


def test_every_picture_that_the_page_shows_is_there(study: Path) -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text_of(study))
    drawn = [path for path in shown if path.startswith("figures/")]
    # the answer, measures of each role, curves of each split, 8-2 and its parts, transfer twice
    assert len(drawn) == 1 + 2 + len(SPLITS) + 5 + 2
    assert len(set(shown)) == len(drawn) + len(SPLITS)  # and a t-SNE picture a split
    for path in drawn:
        assert (study / "reports" / path).read_bytes().startswith(b"\x89PNG")


def test_every_link_inside_the_page_has_its_target(study: Path) -> None:
    links = set(re.findall(r"\]\(#([^)]+)\)", text_of(study)))
    assert len(links) >= 8
    assert links <= set(re.findall(r'<a id="([^"]+)">', text_of(study)))


def test_every_table_of_the_study_is_there_by_its_id(study: Path) -> None:
    ids = re.findall(r"^## (\S+) ", text_of(study), re.MULTILINE)
    wanted = ["7-1", "7-2", "8-1", "8-2", "8-2-1", "8-2-2", "8-2-3", "open", "9", "9-labels"]
    assert [one for one in ids if one in wanted] == wanted


def test_means_have_their_intervals(study: Path) -> None:
    text = section(text_of(study), "7-1 The whole target: cohesion by label")
    # MAP@R .5 .55 .6: sd .05, t(.975, 2) = 4.303, half = 4.303 · .05 / √3 = .124
    low, high = "0.550 ± 0.124", "0.650 ± 0.124"
    # TF-IDF draws nothing and has one value
    assert row(text, "MAP@R ↑") == [low, low, high, high, "0.300", "0.150 ± 0.124"]


def test_cohesion_is_never_alone(study: Path) -> None:
    for title in (
        "7-1 The whole target: cohesion by label",
        "8-2-1 The 10 rarest labels: cohesion",
    ):
        text = section(text_of(study), title)
        for measure in ("gap", "MAP@R", "cosine"):
            assert re.search(rf"^\| .*{measure}.* [↑↓] \|", text, re.MULTILINE), (title, measure)


def test_few_labels_have_a_row_each_and_many_their_statistics(study: Path) -> None:
    text = text_of(study)
    few = section(text, "7-1 The whole target: cohesion by label")
    assert "| label\\|2 (102 train rows) |" in few
    many = section(text, "7-2 The whole source: cohesion by label")
    assert "label\\|" not in many
    cohesion = np.array(
        read_json(Layout(study).record(CLS_SHUFFLED, KEYS["source"]))["per_class"]["cohesion"],
        float,
    )
    median = float(np.mean(np.nanmedian(cohesion, axis=1)))
    assert row(many, "median")[0].startswith(f"{median:.3f} ±")


@pytest.mark.parametrize(
    ("table", "key", "labels"),
    [
        ("7-2 The whole source: cohesion by label", "cohesion", 30),
        ("8-2-1 The 10 rarest labels: cohesion", "cohesion", 10),
        ("8-2-2 The 10 rarest labels against the sufficient ones", "sufficient_cosine", 10),
        ("8-2-3 The 10 rarest labels among one another", "among_scarce_cosine", 10),
    ],
)
def test_every_statistic_is_over_the_labels_of_its_table(
    study: Path, table: str, key: str, labels: int
) -> None:
    text = section(text_of(study), table)
    for name, statistic in {
        "mean": statistics.mean,
        "standard deviation": statistics.stdev,
        "least": min,
        "first quartile": lambda values: np.percentile(values, 25),
        "median": statistics.median,
        "third quartile": lambda values: np.percentile(values, 75),
        "largest": max,
    }.items():
        layout, split = Layout(study), KEYS["source"]
        records = [layout.record(arm, split) for arm in ARMS]
        records += [layout.baseline(baseline, split) for baseline in Baseline]
        for path, cell in zip(records, row(text, name), strict=True):
            record = read_json(path)
            by_seed = [
                [value for value in values[:labels] if value is not None]
                for values in record["per_class"][key]
            ]
            mean = statistics.mean(map(statistic, by_seed))
            assert cell.split(" ± ")[0] == f"{mean:.3f}", (name, path)


def test_a_table_about_scarce_labels_names_them_and_has_all_four_arms(study: Path) -> None:
    text = section(text_of(study), "8-1 Target with a scarce label")
    assert "**label|1** scarce (101 train rows), in red:" in text
    assert "balanced" in text.split("\n| ", 2)[1]
    assert len(row(text, "label\\|1: MAP@R ↑")) == 6
    assert "cosine among" not in text  # one label has no other


def test_every_scarce_label_and_the_mean_have_a_row_for_each_measure(study: Path) -> None:
    text = section(text_of(study), "8-1 Target with a scarce label")
    for of in ("label\\|1", "**mean**"):
        found = re.findall(rf"^\| {re.escape(of)}: (.*?) \|", text, re.MULTILINE)
        assert found == [
            "MAP@R ↑",
            "nearest-neighbours accuracy ↑",
            "cohesion ↑",
            "cosine to the sufficient labels ↓",
            "gap (cohesion − cosine to the sufficient) ↑",
        ]


def test_the_tables_of_rare_labels_have_their_retrieval(study: Path) -> None:
    for title in (
        "8-2-2 The 10 rarest labels against the sufficient ones",
        "8-2-3 The 10 rarest labels among one another",
    ):
        text = section(text_of(study), title)
        assert len(row(text, "rare labels' MAP@R ↑")) == 6
        assert len(row(text, "MAP@R ↑")) == 5  # among the verdicts


def test_a_measure_that_only_one_family_has_is_shown(study: Path) -> None:
    heads = row(section(text_of(study), "C-1 The whole target: classifying"), "head accuracy ↑")
    # TF-IDF has logistic regression, the untrained encoder has no classifier
    assert [cell == "–" for cell in heads] == [False, False, True, True, False, True]


def test_two_labels_are_enough_for_a_statistic(study: Path) -> None:
    found = statistic_rows(read(study), "source", "cohesion", labels=[1, 2])
    by_seed = read(study).records["source"][CLS_SHUFFLED].classes_of("cohesion")[:, [1, 2]]
    assert cell_value(found[0][1]) == pytest.approx(by_seed.mean())
    assert cell_value(statistic_rows(read(study), "source", "cohesion", labels=[1])[0][1]) is None


def test_the_smallest_share_is_the_primary_comparison_of_few_labels(study: Path) -> None:
    found = read(study)
    smaller = {
        init: pd.concat([frame, frame[frame["share"] < 1].assign(share=0.01)])
        for init, frame in found.transfers.items()
    }
    fewer = found.tfidf_transfer[found.tfidf_transfer["share"] < 1].assign(share=0.01)
    finding = label_efficiency(
        dataclasses.replace(
            found, transfers=smaller, tfidf_transfer=pd.concat([found.tfidf_transfer, fewer])
        )
    )
    assert finding is not None
    assert finding.primary is not None
    assert finding.primary.contrast.name == "1 %, encoder fine-tuned, tanh"


def test_labels_never_seen_are_measured_without_accuracies(study: Path) -> None:
    text = section(text_of(study), "open Labels never seen")
    assert "trained on 12 labels" in text
    assert "measured on the 15 others" in text
    assert "accuracy" not in text


def test_the_transfer_table_reads_the_last_epoch(study: Path) -> None:
    text = section(text_of(study), "9 Transfer to the target")
    assert row(text, "metric learning") == ["0.800 ± 0.000"] * 4
    assert "**metric better**" in text
    few = section(text_of(study), "9-labels Transfer with few labels")
    assert row(few, "10 %, from scratch") == [f"{0.6 * 0.1**0.1:.3f} ± 0.000"] * 4
    # all rows need no draw
    assert row(text, "TF-IDF, logistic regression") == ["0.500"] * 4
    assert row(few, "10 %, TF-IDF, logistic regression") == [f"{0.5 * 0.1**0.1:.3f} ± 0.000"] * 4


@pytest.mark.parametrize("tunings", [["frozen", "finetuned"], ["finetuned"]])
def test_every_accuracy_of_the_transfer_is_that_of_its_column(
    tmp_path: Path, tunings: list[str]
) -> None:
    write_study(tmp_path, [0, 1])
    for place, init in enumerate(["cls", "metric", "scratch"]):
        path = Layout(tmp_path).transfer(init)
        frame = pd.read_csv(path)
        frame = frame[frame["tuning"].isin(tunings)]
        last = frame["epoch"] == 2
        frame.loc[last, "test_accuracy"] = (
            0.1 * place
            + 0.4 * (frame["tuning"] == "finetuned")
            + 0.04 * frame["tanh"]
            + 0.02 * frame["share"]
        )
        frame.to_csv(path, index=False)
    write_text(tmp_path, read(tmp_path))
    whole = section(text_of(tmp_path), "9 Transfer to the target")
    few = section(text_of(tmp_path), "9-labels Transfer with few labels")
    for place, title in enumerate(["classification", "metric learning", "from scratch"]):
        for text, name, share in ((whole, title, 1.0), (few, f"10 %, {title}", 0.1)):
            expected = [
                0.1 * place + 0.4 * (tuning == "finetuned") + 0.04 * tanh + 0.02 * share
                for tuning in tunings
                for tanh in (True, False)
            ]
            assert row(text, name) == [f"{value:.3f} ± 0.000" for value in expected]


def test_one_arm_alone_has_no_verdict(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    write_text(tmp_path, read(tmp_path, ["target"], [METRIC_BALANCED]))
    text = section(text_of(tmp_path), "7-1 The whole target: cohesion by label")
    assert "**no verdict**: no two arms" in text
    assert "better" not in text


def test_many_classes_without_any_cohesion_have_dashes(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    for arm in ARMS:
        change(tmp_path, "source", arm, per_class={"cohesion": np.full((2, 30), np.nan)} | RARE)
    write_results(tmp_path, read(tmp_path, ["source"]))
    text = section(text_of(tmp_path), "7-2 The whole source: cohesion by label")
    assert row(text, "third quartile")[:4] == ["–"] * 4


def test_names_from_the_data_are_not_taken_for_markdown(tmp_path: Path) -> None:
    write_study(tmp_path, [0, 1])
    for arm in ARMS:
        change(tmp_path, "target", arm, label_names=["__init__", "<b>", "x\ny"])
    write_text(tmp_path, read(tmp_path, ["target"]))
    rows = [line.split(" | ")[0] for line in text_of(tmp_path).splitlines()]
    assert {
        r"| \_\_init\_\_ (100 train rows)",
        r"| \<b\> (101 train rows)",
        "| x y (102 train rows)",
    } <= set(rows)
