from __future__ import annotations

import pickle

import pytest

from textmetric.errors import MissingPackageError, UserError, needing, printable


def test_a_message_is_one_line_that_a_terminal_does_not_obey() -> None:
    error = UserError("label a\x1b[2J\r\nb\u2028\u202e\ud800 中文 é")
    shown = "label a\\x1b[2J\\r\\nb\\u2028\\u202e\\ud800 中文 é"
    assert str(error) == shown
    assert str(pickle.loads(pickle.dumps(error))) == shown
    assert printable(shown) == shown


def test_the_joiners_of_languages_and_emoji_stay() -> None:
    for text in ("می\u200cخواهم", "👩\u200d💻", "e\u0301", "☺\ufe0f"):
        assert printable(text) == text


def test_a_missing_package_is_one_sentence_that_names_the_extra() -> None:
    with pytest.raises(UserError) as caught, needing("the outer", "all"), needing("it", "train"):
        raise ModuleNotFoundError("No module named 'sklearn.base'", name="sklearn.base")
    error = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(error, MissingPackageError)
    assert isinstance(error, ModuleNotFoundError)
    assert str(error).startswith("it needs the package scikit-learn: install it with pip install '")
    assert str(error).endswith("[train]'")


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("a mistake of ours", name="textmetric.nothing"),
        ModuleNotFoundError("a name that nobody gave"),
        ImportError("a.so: failed to map segment", name="torch"),
    ],
    ids=str,
)
def test_what_no_installation_repairs_is_not_called_a_missing_package(error: ImportError) -> None:
    with pytest.raises(ImportError) as caught, needing("it", "train"):
        raise error
    assert caught.value is error
