from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from textmetric import corpora
from textmetric.errors import UserError


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ag_new", "unknown corpus 'ag_new'; did you mean 'ag_news'.*or give the path of a csv"),
        ("gone.csv", r"gone\.csv does not exist"),
        ("some/folder", "some/folder is not a table"),
        ({"name": "ag"}, "unknown corpus 'ag'"),
        ({"name": "ag_news", "level": "l1"}, "ag_news has no levels"),
        ({"name": "dbpedia_classes", "level": "l4"}, "unknown level of dbpedia_classes 'l4'"),
        ({"name": "docstrings", "path": "x.csv"}, "both name .* and path"),
        ({"name": "docstrings", "text": "x"}, "unknown corpus key 'text'"),
        ({"path": "x.csv", "labels": "x"}, "unknown corpus key 'labels'; did you mean 'label'"),
        ({"path": "x.csv", "min_rows": 1}, "min_rows of a corpus must be a whole number from 2"),
        ({"path": "x.csv", "unlabelled": True}, "unlabelled of a corpus is True, expected keep"),
        ({"name": "docstrings", "unlabelled": "keep"}, "unknown corpus key 'unlabelled'"),
        ({"path": "x.csv", "empty": "keep"}, "empty of a corpus is 'keep', expected drop: write"),
        ({"path": "x.csv", "empty": None}, "empty of a corpus is None, expected drop"),
        ({"path": "x.csv", "delimiter": ""}, "delimiter of a corpus is '', expected one character"),
        ({"path": "x.csv", "delimiter": '"'}, "delimiter of a corpus is '\"', expected one"),
        ({"path": "x.csv", "delimiter": "··"}, "delimiter of a corpus is '··', expected one"),
        ({"path": "x.csv", "delimiter": "·"}, "delimiter of a corpus is '·', expected one"),
        ({"path": "x.csv", "delimiter": 1}, "delimiter of a corpus is 1, expected one character"),
        ({"path": "x.csv", "encoding": "latin 99"}, "encoding of a corpus is 'latin 99', which"),
        ({"path": "x.csv", "encoding": "base64"}, "encoding of a corpus is 'base64', which Python"),
        ({"path": "x.csv", "encoding": "a\0"}, r"encoding of a corpus is 'a\\x00', which Python"),
        ({"path": "x.csv", "encoding": 8}, "encoding of a corpus is 8, which Python does not know"),
        ({"path": "x.csv", "text": 1}, "the corpus key text must be the name of a column, not 1"),
        (
            {"path": "x.csv", "text": "label"},
            "text and label .* name the same column 'label'",
        ),
        ({"path": "x.csv", "min_rows": True}, "min_rows of a corpus must be a whole number"),
        (
            {"path": "x.csv", "vectors": "../v.npy"},
            "vectors of the corpus x.csv is '../v.npy'",
        ),
        ({"path": "x.csv", "vectors": "/etc/v.npy"}, "the name of a file next to the table"),
        ({"path": "x.csv", "vectors": "\0.npy"}, "the name of a file next to the table"),
        ("", "path of a corpus is '': give the path of a file or folder"),
        ("a\0.csv", "path of a corpus is 'a.x00.csv': give the path"),
        ("~nobody-here/a.csv", "path of a corpus is '~nobody-here/a.csv': give the path"),
        ("a\ud800.csv", "path of a corpus is 'a.ud800.csv': give the path"),
        ("a\nb.csv", "path of a corpus is 'a.nb.csv': give the path"),
        ({"path": None}, "path of a corpus is None: give the path of a file or folder"),
        ({"path": 3}, "path of a corpus is 3: give the path of a file or folder"),
        ({"name": "../ag_news"}, "unknown corpus '../ag_news'"),
        ({"name": ["ag_news"]}, r"unknown corpus \"\['ag_news'\]\""),
        ({}, "needs the key name .* or path .* but has no key"),
        (None, "must be a built-in name, a path or a mapping, not None"),
    ],
)
def test_a_wrong_spec_is_one_sentence(spec: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        corpora.load(spec)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-16", "cp1252", "latin-1", "gb18030"])
def test_a_table_may_say_its_encoding_and_its_delimiter(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"Schön, sagt {row}|{'ja' if row % 2 else 'nein'}\n" for row in range(12))
    path.write_text("text|label\n" + rows, encoding=encoding)
    spec = {"path": str(path), "delimiter": "|", "encoding": encoding}
    frame = corpora.load(spec, progress=False).frame
    assert sorted(frame["text"]) == sorted(f"Schön, sagt {row}" for row in range(12))
