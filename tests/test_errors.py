from __future__ import annotations

import pickle

from textmetric.errors import UserError, printable


def test_a_message_is_one_line_that_a_terminal_does_not_obey() -> None:
    error = UserError("label a\x1b[2J\r\nb\u2028\u202e\ud800 中文 é")
    shown = "label a\\x1b[2J\\r\\nb\\u2028\\u202e\\ud800 中文 é"
    assert str(error) == shown
    assert str(pickle.loads(pickle.dumps(error))) == shown
    assert printable(shown) == shown


def test_the_joiners_of_languages_and_emoji_stay() -> None:
    for text in ("می\u200cخواهم", "👩\u200d💻", "e\u0301", "☺\ufe0f"):
        assert printable(text) == text
