"""The encoding of a text file: read as asked for, and guessed for the message where it is not."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from textmetric.corpora.blocks import START, Place
from textmetric.corpora.wording import MAPPING, Wording
from textmetric.errors import UserError

_MARKS = {  # UTF-32 first: its mark starts with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_COMMON = (  # of tables; rarer ones are mistaken for these and these for them
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp932",
    "euc_jp", "gb18030", "big5", "cp949",
)  # fmt: skip
_SAMPLE = 1 << 16  # bytes that a guess looks at


def decoded(
    data: bytes,
    source: Path | str,
    encoding: str | None = None,
    *,
    words: Wording = MAPPING,
    before: Place = START,
) -> str:
    """The text of a file, without a byte order mark.

    Args:
        data: its content.
        source: what to call it in messages.
        encoding: a name that Python knows, such as ``cp1252``; None for UTF-8.
        words: of messages.
        before: what comes before ``data`` in the file.

    Raises:
        UserError: the content has another encoding; the message names a likely one.
    """
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeError as error:
        raise _undecodable(error, data, source, encoding, words, before) from None
    return text.removeprefix("\ufeff") if before is START else text


def _undecodable(
    error: UnicodeError,
    data: bytes,
    source: Path | str,
    encoding: str | None,
    words: Wording,
    before: Place,
) -> UserError:
    # codecs of several bytes a character count in characters, or say no position at all
    start = getattr(error, "start", 0)
    line = before.lines + data.count(b"\n", 0, start) + 1
    seems = likely(data)
    guess = "" if seems in (None, encoding) else f", but seems to be {seems}"
    offered = seems if guess else "<its name>"
    return UserError(
        f"{source} is not {encoding or 'UTF-8'} (line {line}, byte {before.bytes + start}){guess}:"
        f" save it as UTF-8, or {words.encoding.format(offered)}"
    )


def as_utf8(
    data: bytes, source: Path | str, encoding: str | None, *, words: Wording = MAPPING
) -> bytes:
    """The same text as UTF-8; unchecked, and with its byte order mark, if it is said to be that.

    Raises:
        UserError: see :func:`decoded`.
    """
    return b"".join(utf8_blocks([data], source, encoding, words=words))


def utf8_blocks(
    data: Iterable[bytes], source: Path | str, encoding: str | None, *, words: Wording = MAPPING
) -> Iterator[bytes]:
    """What :func:`as_utf8` gives, by blocks.

    Raises:
        UserError: see :func:`decoded`.
    """
    if encoding is None:
        yield from data
        return
    decoder, before = codecs.getincrementaldecoder(encoding)(), START
    blocks = iter(data)
    block: bytes | None = next(blocks, b"")
    while block is not None:
        following = next(blocks, None)
        held = len(decoder.getstate()[0])  # bytes of a character that the last block has cut
        try:
            text = decoder.decode(block, following is None)
        except UnicodeError as error:
            raise _undecodable(
                error, block, source, encoding, words, before._replace(bytes=before.bytes - held)
            ) from None
        try:
            yield (text.removeprefix("\ufeff") if before is START else text).encode()
        except UnicodeEncodeError:  # such as utf-7, which can spell halves of characters
            raise UserError(
                f"{source} read as {encoding} is no text: {words.encoding.format('<its name>')}"
            ) from None
        before = Place(0, before.lines + block.count(b"\n"), before.bytes + len(block))
        block = following


def known(encoding: object) -> bool:
    """Whether Python has a text encoding of this name."""
    try:
        return isinstance(encoding, str) and codecs.lookup(encoding)._is_text_encoding
    except (LookupError, ValueError):  # ValueError: a null character in the name
        return False


def likely(data: bytes) -> str | None:
    """The likely encoding of text; None where nothing fits, or it is UTF-8.

    UTF-16 and UTF-32 are found by their mark or their zeros. For others charset-normalizer says
    which ones fit the bytes; of those, the Windows code page of western Europe goes first, as the
    most common one.
    """
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return name
    head = data[:_SAMPLE]
    zeros = [head[place::2].count(0) for place in range(2)]
    if max(zeros) > len(head) // 5 + 4 * min(zeros):  # every second byte is zero, in ASCII text
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    # Lines of ASCII say nothing about the encoding, and take time.
    telling = (line for line in data[: 64 * _SAMPLE].split(b"\n") if not line.isascii())
    lines = b"\n".join(telling)[:_SAMPLE]
    invalid = lines.decode("utf-8", "replace").count("\ufffd")
    if invalid * 2 <= len(re.findall(rb"[\x80-\xff]+", lines)):  # UTF-8 with a few damaged bytes
        return None
    try:
        import charset_normalizer
    except ModuleNotFoundError:  # the message that asks for a guess does without
        return None
    matches = charset_normalizer.from_bytes(lines, cp_isolation=list(_COMMON))
    found = [match.encoding for match in matches]
    if not found or found[0] == "utf_8":
        return None
    western = "cp1252"
    try:
        if western in found or lines.decode(western) == lines.decode(found[0]):
            return western
    except UnicodeDecodeError:
        pass
    # Japanese in Shift JIS fits the Korean code page too, hardly the other way round.
    best = "cp932" if found[0] == "cp949" and "cp932" in found else found[0]
    return best.replace("_", "-")
