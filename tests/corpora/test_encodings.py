from __future__ import annotations

import pytest

from textmetric.corpora import encodings
from textmetric.errors import UserError

TEXTS = {
    "cp1252": "text,label\nLe café est très bon,positif\nUn déjeuner “raté”,négatif\n",
    "cp1250": "text,label\nZażółć gęślą jaźń,tak\nŁódź jest piękna,nie\n",
    "cp1251": "text,label\nХороший фильм и актёры,да\nПлохо сделано,нет\n",
    "koi8-r": "text,label\nХороший фильм и актёры,да\nПлохо сделано,нет\n",
    "cp932": "text,label\nこの映画はとても面白いです,良い\n食べ物が悪い,悪い\n",
    "gb18030": "text,label\n这部电影很好看,好\n食物很糟糕,坏\n",
    "cp949": "text,label\n영화가 아주 재미있어요,좋음\n",
    "utf-16": "text,label\na b,c\n",
    "utf-32": "text,label\na b,c\n",
    "utf-16-le": "text,label\na café,c\n",
    "utf-16-be": "text,label\na café,c\n",
}


@pytest.mark.parametrize("encoding", TEXTS)
@pytest.mark.parametrize("ascii_first", [False, True])
def test_common_encodings_are_recognised(encoding: str, ascii_first: bool) -> None:
    text = "text,label\n" + "a plain row,c\n" * 9000 * ascii_first + TEXTS[encoding]
    data = text.encode(encoding)
    assert encodings.likely(data) == encoding
    assert encodings.decoded(data, "toy", encoding) == text
    assert encodings.as_utf8(data, "toy", encoding) == text.encode()


def test_text_in_utf_8_is_not_taken_for_another_encoding_for_a_damaged_byte() -> None:
    text = TEXTS["cp1251"].encode()
    assert encodings.likely(text) is None
    assert encodings.likely(b"plain\0text") is None
    assert encodings.likely(b"a\0\0b" * 20) is None
    damaged = text.replace("ф".encode(), "ф".encode()[:1])
    with pytest.raises(UserError, match=r"toy is not UTF-8 \(line 2, byte 26\): save it as UTF-8"):
        encodings.decoded(damaged, "toy")


def test_a_wrong_encoding_is_one_sentence_with_a_better_one() -> None:
    data = TEXTS["cp1252"].encode("cp1252")
    with pytest.raises(
        UserError, match=r"toy is not UTF-8 \(line 2, byte 17\), but seems to be cp1"
    ):
        encodings.decoded(data, "toy")
    for wrong in ("ascii", "utf-16", "utf-32", "shift_jis", "idna", "undefined", "utf-7"):
        with pytest.raises(UserError, match=f"toy is not {wrong} .* add encoding: cp1252 to the"):
            encodings.as_utf8(data, "toy", wrong)
    with pytest.raises(UserError, match="toy read as utf-7 is no text: add encoding: <its name>"):
        encodings.as_utf8(b"+2AA-", "toy", "utf-7")


def test_a_file_of_one_long_line_is_looked_at_in_part() -> None:
    text = TEXTS["cp1252"].replace("\n", " ") + " word" * 1_000_000
    assert encodings.likely(text.encode("cp1252")) == "cp1252"
    assert encodings.likely(b"word" * 1_000_000) is None
