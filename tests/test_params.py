from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from textmetric.errors import UserError
from textmetric.grid import Family
from textmetric.params import Params, read
from textmetric.schema import validated
from textmetric.yaml12 import flow, read_yaml

ROOT = Path(__file__).parents[1]


def changed(value: object, *keys: str) -> dict[str, Any]:
    raw: dict[str, Any] = read_yaml(ROOT / "params.yaml", "")
    section = raw
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    return raw


def test_the_params_of_the_repository_are_valid() -> None:
    params = read(ROOT / "params.yaml")
    assert params.corpora.of("target") == "docstrings"
    assert params.splits["target-scarce-1"].scarce == [1]
    assert [arm.name for arm in params.arms_of(Family.METRIC)] == [
        "metric_shuffled",
        "metric_balanced",
    ]
    assert params.objective(Family.METRIC)["name"] == "triplet"
    assert params.objective(Family.CLASSIFICATION)["name"] == "cross_entropy"


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (
            ("train", "lr"),
            -1,
            r"params\.yaml: train\.lr is -1, but it should be greater than 0 \(default 0\.1\)",
        ),
        (("train", "epoch"), 3, r"unknown key 'train\.epoch'; did you mean 'epochs'"),
        (("train", "batch_size"), "many", r"train\.batch_size is 'many'"),
        (
            ("train", "window"),
            0,
            r"train\.window is 0, but it should be greater than or equal to 4",
        ),
        (("train", "window"), 63, r"train\.window is 63, but train\.batch_size is 64, and a batch"),
        (("train", "window"), "all", r"train\.window is 'all', but it should be a valid integer"),
        (("trian",), {}, r"unknown key 'trian'; did you mean 'train'"),
        (("splits", "target", "kep"), 0.1, r"'splits\.target\.kep'; did you mean 'keep'"),
        (
            ("splits", "target", "role"),
            "both",
            r"unknown splits\.target\.role 'both'\. Known: source, target",
        ),
        (("arms",), ["cls_shufled"], "'cls_shufled'; did you mean 'cls_shuffled'"),
        (("seeds",), [1, 1], "seeds holds a value twice"),
        (("seeds",), [], "seeds is"),
        (("data", "validation"), 1.5, r"data\.validation is 1\.5"),
        (("finetune", "sampler"), "sorted", r"finetune\.sampler 'sorted'"),
        (("samplers",), ["shuffled"], r"arms has 'cls_balanced', but samplers has no 'balanced'"),
        (("arms",), ["cls_shuffled", "cls_shuffled"], "arms holds a value twice"),
        (("finetune", "tanh"), [], r"finetune\.tanh is \[\], but list should have at least 1"),
        (("finetune", "tanh"), True, r"finetune\.tanh is true, but it should be a valid list"),
        (("finetune", "tanh"), [True, True], r"finetune\.tanh .* holds a value twice"),
        (("finetune", "shares"), [], r"finetune\.shares is \[\], but list should have at least 1"),
        (("finetune", "shares"), [0.1], r"finetune\.shares is \[0\.1\], but it lacks 1\.0"),
        (("finetune", "shares"), [1, 0.1, 1.0], r"finetune\.shares .* holds a value twice"),
        (("finetune", "shares"), [1.0, 0], r"finetune\.shares\.1 is 0, but .* greater than 0"),
        (("finetune", "shares"), [1.5, 1.0], r"finetune\.shares\.0 is 1\.5, but .* equal to 1"),
        (("finetune", "share"), [1.0], r"unknown key 'finetune\.share'; did you mean 'shares'"),
        (("model", "layer"), "bags", r"unknown model\.layer 'bags'; did you mean 'bag'\?"),
        (("model",), {"ngrams": "characters", "vectors": "a.vec"}, "which is for token vectors"),
        (("model",), {"ngrams": "words"}, r"unknown model\.ngrams 'words'"),
        (
            ("splits", "target", "role"),
            3,
            r"splits\.target\.role is 3, but it should be 'target' or",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(
    keys: tuple[str, ...], value: object, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(flow(changed(value, *keys)))
    with pytest.raises(UserError, match=said) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "../../..",
        "..",
        ".",
        "/tmp/x",
        "a/b",
        "a\\b",
        "",
        " a",
        "-a",
        "a\n",
        "é",
        "a" * 101,
        "splits.json",
        ".hidden",
        "~",
        "C:",
    ],
)
def test_a_split_is_named_by_one_plain_part_of_a_path(name: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(flow(changed({"target": {"role": "target"}}, "splits")))
    assert list(read(path).splits) == ["target"]
    path.write_text(flow(changed({name: {"role": "target"}}, "splits")))
    with pytest.raises(UserError, match="a name becomes a folder: use at most 100") as caught:
        read(path)
    assert repr(name) in str(caught.value)


def test_plain_names_of_splits_are_accepted() -> None:
    names = ["a", "7", "A.b-c_d", "a" * 100]
    raw = changed({name: {"role": "target"} for name in names}, "splits")
    assert list(validated(Params, raw).splits) == names


def test_a_missing_section_is_named() -> None:
    raw = changed(1, "corpora")
    del raw["corpora"]
    with pytest.raises(UserError, match="'corpora' is missing"):
        validated(Params, raw)


def test_a_missing_or_broken_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match=r"params\.yaml is missing: run from the folder"):
        read(path)
    path.write_text("train: [")
    with pytest.raises(UserError, match="cannot be read as YAML"):
        read(path)
    path.write_text("- a list")
    with pytest.raises(UserError, match="must hold a mapping"):
        read(path)


def test_an_unknown_role_lists_the_known() -> None:
    params = read(ROOT / "params.yaml")
    with pytest.raises(UserError, match=r"unknown role 'goal'.* Known: source, target"):
        params.corpora.of("goal")
