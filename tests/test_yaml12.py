"""DVC's own reader of YAML is the definition: what it reads we read alike, or refuse by a rule."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import loads_yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmetric.corpora.spec import checked
from textmetric.errors import UserError
from textmetric.params import read
from textmetric.yaml12 import LARGEST, flow, parse_yaml, read_yaml, written

ROOT = Path(__file__).parents[1]
EXAMPLES = int(os.environ.get("TEXTMETRIC_FUZZ", "150"))
"""A longer fuzz: TEXTMETRIC_FUZZ=20000 pytest tests/test_yaml12.py"""

# Characters and words at which scalars of YAML 1.1, of YAML 1.2 and strings part.
PIECES = [
    *"01789abefnoxyETNY_.:+-~=<!&*?|>%@#'\"[]{}, \n",
    *[
        "yes",
        "No",
        "on",
        "Off",
        "true",
        "NULL",
        ".inf",
        ".NaN",
        "0o17",
        "0x1F",
        "0b11",
        "1_000",
        "1e3",
        "1:30",
        "2024-01-01",
    ],
    *["<<", "!!int", "!!str", "---", "...", "&a", "*a"],
]
SCALARS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | SCALARS
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
DOCUMENTS = st.one_of(
    SCALARS,
    SCALARS.map("label: {}".format),
    st.lists(SCALARS, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
    st.dictionaries(SCALARS, SCALARS, max_size=4).map(
        lambda pairs: "".join(f"{key}: {value}\n" for key, value in pairs.items())
    ),
    st.text(),
)


@settings(derandomize=True, deadline=None, max_examples=EXAMPLES)
@given(DOCUMENTS)
@example("a: Yes")
@example("%YAML 1.1\n---\na: Yes")
@example("{a: 1, <<: {b: 2}}")
@example("a: 1\r\nb: 2")
def test_a_document_says_what_it_says_to_dvc(text: str) -> None:
    try:
        theirs = loads_yaml(text)
    except Exception:
        with pytest.raises(UserError, match="cannot be read as YAML"):
            parse_yaml(text, "a.yaml")
    else:
        assert repr(parse_yaml(text, "a.yaml")) == repr(theirs)  # NaN, and 1 is not 1.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Yes", "Yes"), ("no", "no"), ("on", "on"), ("y", "y"), ("1:30", "1:30"), ("017", 17),
        ("0o17", 15), ("1e3", 1000.0), ("true", True), ("~", None), (".5", 0.5), ("1_000", 1000),
        ("'1e3'", "1e3"), ("0x1F", 31),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = parse_yaml(f"label: {text}", "a.yaml")["label"]
    assert (found, type(found)) == (value, type(value))


@settings(derandomize=True, deadline=None, max_examples=EXAMPLES)
@given(VALUES)
def test_dvc_reads_what_we_write(value: Any) -> None:
    text = flow({"key": value})
    assert "\n" not in text
    assert repr(loads_yaml(text)) == repr({"key": value})


@pytest.mark.parametrize("name", ["Yes", "no", "on", "1e3", "0o17", "017", "1:30", "~", "null"])
def test_a_quoted_name_that_dvc_exp_run_sets_stays_a_string(name: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    path.write_text(text.replace("target: docstrings ", "target: {path: a.csv, label: b} ", 1))
    apply_overrides(str(path), [f'corpora.target.label="{name}"'])
    assert checked(read(path).corpora.target)["label"] == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nlr: 2\nseed: 3", r'line 3, .*duplicate key "seed" with value "3"'),
        ("a: 1\nb:\n\tc: 2", r"line 3, .*'\\t' that cannot start any token"),
        ("a: 1\n\0", r"line 2, .*YAML has no character '\\x00'"),
        ("a: !!python/object/apply:os.system [id]", "line 1, .*no constructor|line 1, .*the tag"),
        ("a: !code 1", r"line 1, .*the tag '!code'"),
        ("a: 1\n---\nb: 2", "line 2, .*found another document"),
        ("a: [1,", "line 1, .*stream end"),
        ("a: 2024-02-30", "day is out of range for month|must be in range"),
        ("a: " + "9" * 5000, "line 1, .*a number of 5,000 digits"),
        ("a: 0x" + "f" * 5000, "line 1, .*a number of 5,002 digits"),
        ("[" * 51 + "]" * 51, "nested more than 50 deep"),
        ("[" * 1000, "nested more than 50 deep"),
        ("- " * 5000, "nested more than 50 deep"),
        ("&a [*a]", "nested more than 50 deep"),
        ("&a {a: *a}", "nested more than 50 deep"),
        ("#" * LARGEST, "has 131,072 bytes or more"),
    ],
)
def test_a_bad_document_is_one_sentence_with_its_line(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        parse_yaml(text, "a.yaml")
    assert str(caught.value).startswith("a.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "use", ["[*a{0}, *a{0}]", "{{x: *a{0}, y: *a{0}}}", "{{<<: [*a{0}, *a{0}]}}"]
)
def test_aliases_that_stand_for_billions_of_values_are_refused(use: str) -> None:
    lines = ["a0: &a0 {z: 1}", *(f"a{n + 1}: &a{n + 1} {use.format(n)}" for n in range(40))]
    assert parse_yaml("\n".join(lines[:8]), "a.yaml")["a0"] == {"z": 1}
    with pytest.raises(UserError, match="more than 131,072 values, aliases included"):
        parse_yaml("\n".join(lines), "a.yaml")


def test_some_nesting_and_aliases_are_fine() -> None:
    assert parse_yaml("[" * 50 + "]" * 50, "a.yaml")
    assert parse_yaml("a: &x {b: 1}\nc: {<<: *x, d: *x}", "a.yaml") == {
        "a": {"b": 1},
        "c": {"b": 1, "d": {"b": 1}},
    }


def test_what_is_no_file_of_text_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b"a: 1\nb: \xe9\n")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 50_000_000)
    for path, said in [
        (tmp_path / "pipe", "is a pipe"),
        (Path("/dev/zero"), "is a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "latin", "line 2, is not UTF-8"),
        (tmp_path / "huge", "bytes or more"),
        (tmp_path / "none", "is missing: look elsewhere"),
        (tmp_path / "huge" / "below", "cannot be read .Not a directory"),
    ]:
        with pytest.raises(UserError, match=said) as caught:
            read_yaml(path, "look elsewhere")
        assert str(path) in str(caught.value)


def test_messages_show_values_as_yaml_has_them() -> None:
    assert written({"a": [True, None, float("nan"), "Yes"]}) == "{'a': [true, null, .nan, 'Yes']}"
    assert len(written(["many"] * 100)) == 60
