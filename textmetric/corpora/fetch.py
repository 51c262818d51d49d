"""Downloads: several addresses in order, a mirror, and archives that are read, never unpacked.

Whatever a server sends, a download ends: tries, seconds and bytes are bounded, and there is a
minimum speed. A file gets its name when its content has been read and found right; else nothing of
it is left. What each address answered becomes one sentence.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import stat
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

from textmetric.errors import UserError, needing

with needing("a download", "study"):
    from tqdm.auto import tqdm

from textmetric import __version__
from textmetric.corpora.spec import located
from textmetric.files import replacing_file, write_error

if TYPE_CHECKING:
    import requests

_ARCHIVES = (".tgz", ".tar.gz", ".zip")
TRIES = 3
"""Downloads from one address that may fail before the next address is tried."""

LARGEST = 1 << 30
"""Bytes of a download, and of what an archive unpacks to: 6 times those of the largest corpus."""

_PAUSE = 1.0  # seconds before the second try, twice that before the third
_TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds between two bytes
_WINDOW = 60.0  # seconds over which the speed is measured
_SLOWEST = 1024  # bytes a second
_LONGEST = 3600.0  # seconds of all tries of one address
_CHUNK = 1 << 14  # bytes
_MEMBERS = 10_000  # of an archive

_PAGES = ("text/html", "application/xhtml+xml")
_PAGE = re.compile(
    rb"\s*(<!--.*?-->\s*)*<(!doctype|html|head|body|title|script|meta|\?xml)\b", re.DOTALL | re.I
)


@dataclass(frozen=True)
class File:
    """A file to fetch.

    Attributes:
        name: its path in the cache and under a mirror, such as ``ag_news_csv/train.csv``.
        urls: the public addresses, in the order to try them.
        checksum: ``md5:...`` or ``sha256:...`` of the right bytes, where a value is known.
    """

    name: str
    urls: tuple[str, ...] = ()
    checksum: str | None = None


class _FetchError(UserError):
    """An address or a file that cannot be used; the text says why."""


class _TryAgainError(_FetchError):
    """A failure that may be gone at the next try."""


Parse = Callable[[str, bytes], Any]
"""From a wanted name and its content to what the corpus needs; a ``UserError`` if it is wrong."""


def _as_it_is(name: str, data: bytes) -> bytes:
    return data


def fetch(
    corpus: str,
    wanted: Sequence[str],
    alternatives: Sequence[Sequence[File]],
    *,
    cache: Path,
    mirror: str | None = None,
    progress: bool = True,
    parse: Parse = _as_it_is,
) -> list[Any]:
    """Get the files of a corpus from the cache, a mirror or the public addresses.

    Args:
        corpus: its name, for messages.
        wanted: the names of the files to return.
        alternatives: ways to get them all: either one file for each name in ``wanted``, or one
            archive that holds them. A way whose files are all in the cache comes first.
        cache: the folder for downloads.
        mirror: a folder, or the URL of one, that holds the same names. It replaces the public
            addresses; the same checksums apply to it.
        progress: show a progress bar.
        parse: reads a content. What it refuses is not kept.

    Returns:
        What ``parse`` makes of each file in ``wanted``; their bytes by default.

    Raises:
        UserError: every way failed; the sentence says what each address answered.
    """
    folder = _folder(cache, mirror)
    reasons = []
    for files in sorted(
        alternatives, key=lambda files: not all((folder / file.name).is_file() for file in files)
    ):
        archived = files[0].name.endswith(_ARCHIVES)
        try:
            found: list[Any] = []
            for number, file in enumerate(files):
                names = wanted if archived else wanted[number : number + 1]
                found += _get(file, names, _urls(file, mirror), folder, progress, parse)
            return found
        except _FetchError as failure:
            reasons.append(str(failure))
        except PermissionError as error:
            raise UserError(
                f"{error.filename or folder} cannot be read or written: check its permissions"
            ) from error
        except OSError as error:
            raise write_error(error.filename or folder, error) from error
    names = ", ".join(wanted)
    if mirror is not None:
        raise UserError(
            f"corpus {corpus} is not available from the mirror ({'; '.join(reasons)}): data.mirror"
            f" must hold the original {names}; give other files as a table by their path instead"
        )
    raise UserError(
        f"corpus {corpus} cannot be downloaded ({'; '.join(reasons)}): run again with a network"
        f" connection, set data.mirror to a folder or URL that holds {names}, or put these files"
        f" into {folder}"
    )


def _folder(cache: Path, mirror: str | None) -> Path:
    """Where files are looked for, and where downloads go."""
    if mirror is None:
        return cache.expanduser()
    if _is_url(mirror):
        # Where no checksum is known, files of another mirror must not be taken for this one's.
        return cache.expanduser() / f"mirror-{hashlib.sha256(mirror.encode()).hexdigest()[:12]}"
    return located(mirror, "data.mirror")


def _urls(file: File, mirror: str | None) -> tuple[str, ...]:
    if mirror is None:
        return file.urls
    return (f"{mirror.rstrip('/')}/{file.name}",) if _is_url(mirror) else ()


def _is_url(mirror: str) -> bool:
    return re.match(r"[a-z]+://", mirror) is not None


def _get(
    file: File,
    wanted: Sequence[str],
    urls: Sequence[str],
    folder: Path,
    progress: bool,
    parse: Parse,
) -> list[Any]:
    """What ``wanted`` is in the file in ``folder``, downloaded unless it is there and right."""
    path = folder / file.name
    reasons = []
    if path.is_file():
        try:
            return _contents(path, file, wanted, parse)
        except _FetchError as failure:
            reasons.append(f"{path} {failure}" + ("" if urls else ": delete it, or get it again"))
    elif not urls:
        raise _FetchError(f"{path} does not exist")
    for url in urls:
        try:
            return _download(url, file, wanted, path, progress, parse)
        except _FetchError as failure:
            reasons.append(f"{url}: {failure}")
    raise _FetchError("; ".join(reasons))


def _download(
    url: str, file: File, wanted: Sequence[str], path: Path, progress: bool, parse: Parse
) -> list[Any]:
    deadline = time.monotonic() + _LONGEST
    for number in range(TRIES):
        time.sleep(_PAUSE * number)
        try:
            with replacing_file(path) as temporary:
                with temporary.open("wb") as stream:
                    _receive(url, stream, deadline, file.name if progress else None)
                try:
                    return _contents(temporary, file, wanted, parse)
                except _FetchError as failure:
                    raise type(failure)(f"its content {failure}") from None
        except _TryAgainError as failure:
            again = failure
    raise again


def _receive(url: str, stream: IO[bytes], deadline: float, label: str | None) -> None:
    """Write what ``url`` sends to ``stream``.

    Another thread waits for the server, in the many places where a server can make one wait; this
    one looks at the clock.
    """
    transfer = _Transfer(url, stream)
    transfer.start()
    began, before = time.monotonic(), 0
    with tqdm(desc=label, unit="B", unit_scale=True, disable=label is None, file=sys.stderr) as bar:
        while transfer.is_alive():
            transfer.join(0.1)
            now, received = time.monotonic(), transfer.received
            bar.update(received - bar.n)
            if now > deadline:
                transfer.stop = f"it takes more than {_LONGEST / 3600:g} hours"
            elif now - began > _WINDOW:
                if received - before < _SLOWEST * _WINDOW:
                    transfer.stop = f"fewer than {_SLOWEST:,} bytes a second"
                began, before = now, received
            if transfer.stop:
                raise _FetchError(transfer.stop)
    if transfer.failure is not None:
        raise transfer.failure
    if not transfer.received:
        raise _FetchError("an empty file")


class _Transfer(threading.Thread):
    """Receives a file.

    Attributes:
        received: bytes so far.
        stop: set it to make the thread end at the next byte.
        failure: why the thread has ended, None at the end of the file.
    """

    def __init__(self, url: str, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.url, self.stream = url, stream
        self.received, self.stop = 0, ""
        self.failure: Exception | None = None

    def run(self) -> None:
        """See the class."""
        import requests

        try:
            with requests.get(
                self.url,
                stream=True,
                timeout=_TIMEOUT,
                # Without "identity" a server may compress the body and give the length of that.
                headers={
                    "Accept-Encoding": "identity",
                    "User-Agent": f"textmetric/{__version__}",
                },
                hooks={"response": _refuse},
            ) as response:
                self._read(response)
        except _FetchError as failure:
            self.failure = failure
        except requests.Timeout:
            self.failure = _TryAgainError("no answer in time")
        except requests.exceptions.ChunkedEncodingError:
            self.failure = _TryAgainError("the connection broke before the end of the file")
        except requests.ConnectionError:
            self.failure = _TryAgainError("no connection")
        except Exception as error:  # a hostile answer may raise anything
            reason = " ".join(str(error).split())[:200]
            self.failure = _FetchError(f"no valid address or answer ({reason!a})")

    def _read(self, response: requests.Response) -> None:
        promised = response.headers.get("Content-Length")
        for chunk in response.iter_content(_CHUNK):
            if self.stop:
                return
            self.received += len(chunk)
            if self.received > LARGEST:
                raise _FetchError(f"more than {LARGEST:,} bytes")
            try:
                self.stream.write(chunk)
            except OSError as error:  # of this machine, and no answer of the server
                self.failure = error
                return
        whole = promised is None or "Content-Encoding" in response.headers
        if not whole and self.received < int(promised or 0):
            raise _TryAgainError("the connection broke before the end of the file")


def _refuse(response: requests.Response, **_: Any) -> None:
    """Raise at once for answers that are not the file."""
    if response.is_redirect:
        return
    status = response.status_code
    if status >= 500 or status in (408, 429):  # timeout, too many requests
        raise _TryAgainError(f"HTTP {status}")
    if status != 200:  # 204 has no content, 206 a part of it, 3xx here no place to go to
        raise _FetchError(f"HTTP {status}")
    if response.headers.get("Content-Type", "").split(";")[0].strip().lower() in _PAGES:
        raise _FetchError("a web page instead of the file; it may ask for an account")
    length = response.headers.get("Content-Length", "0")
    if not re.fullmatch("[0-9]{1,18}", length):
        raise _FetchError("a length that is no number")
    if int(length) > LARGEST:
        raise _FetchError(f"more than {LARGEST:,} bytes")


def _contents(path: Path, file: File, wanted: Sequence[str], parse: Parse) -> list[Any]:
    """What ``wanted`` is in a file, if it is the right one.

    Raises:
        _FetchError: it is not; the message continues a sentence about the file.
    """
    import pooch

    if not path.stat().st_size:
        raise _FetchError("is empty")
    if file.checksum is not None and not pooch.hashes.hash_matches(str(path), file.checksum):
        raise _TryAgainError(f"does not have the checksum {file.checksum}")
    with path.open("rb") as stream:
        start = stream.read(4096)
    # without byte order mark, and from UTF-16
    if file.checksum is None and _PAGE.match(
        start.replace(b"\0", b"").lstrip(b"\xef\xbb\xff\xfe\xbf")
    ):
        raise _FetchError("is a web page instead of the file; it may ask for an account")
    archived = file.name.endswith(_ARCHIVES)
    contents = read_archive(path, wanted) if archived else [path.read_bytes()]
    try:
        return [parse(name, data) for name, data in zip(wanted, contents, strict=True)]
    except UserError as error:
        raise _FetchError(f"is not the file ({error})") from None


def read_archive(archive: Path, wanted: Sequence[str]) -> list[bytes]:
    """Read files out of an archive into memory; nothing is written, and no link is followed.

    Args:
        archive: a ``.tgz``, ``.tar.gz`` or ``.zip``.
        wanted: names; a member matches by its last part (``train.csv``), in any folder.

    Raises:
        _FetchError: the archive is damaged, encrypted or too large, a file is missing in it, empty
            or there twice, or a member is a link or would lie outside the archive's folder. The
            message continues a sentence about the archive.
    """
    names = [PurePosixPath(name).name for name in wanted]
    members = _zip_members if archive.name.endswith(".zip") else _tar_members
    contents: dict[str, bytes] = {}
    try:
        for path, data in members(archive, names):
            name = PurePosixPath(path).name
            if name in contents:
                raise _FetchError(f"holds two files {name}")
            contents[name] = data
    except (_FetchError, MemoryError):
        raise
    except Exception as error:  # its readers raise dozens of types for what is damaged
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk
        reason = " ".join(str(error).split())[:200]
        raise _FetchError(f"is damaged or incomplete ({reason!a})") from None
    for name in names:
        if not contents.get(name):
            raise _FetchError(
                f"holds no file {name}" if name not in contents else f"{name} is empty"
            )
    return [contents[name] for name in names]


def _zip_members(archive: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    left = LARGEST
    with zipfile.ZipFile(archive) as packed:
        for number, entry in enumerate(packed.infolist()):
            link = stat.S_ISLNK(entry.external_attr >> 16)
            _check_member(entry.filename, number, link=link)
            if not entry.is_dir() and PurePosixPath(entry.filename).name in names:
                if entry.flag_bits & 1:
                    raise _FetchError(f"is encrypted ({entry.filename!a})")
                with packed.open(entry) as stream:
                    data = stream.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise _FetchError(f"unpacks to more than {LARGEST:,} bytes")
                yield entry.filename, data


def _tar_members(archive: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    with gzip.open(archive) as unpacked:
        stream = _Limited(unpacked)
        with tarfile.open(fileobj=cast(Any, stream), mode="r|") as packed:
            for number, member in enumerate(packed):
                link = not (member.isfile() or member.isdir())
                _check_member(member.name, number, link=link)
                content = packed.extractfile(member)
                if content is not None and PurePosixPath(member.name).name in names:
                    yield member.name, content.read()
        while stream.read(_CHUNK):  # the checksum is at the end
            pass


class _Limited:
    """A packed stream that gives at most ``LARGEST`` bytes."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream, self._left = stream, LARGEST

    def read(self, size: int) -> bytes:
        """See ``io.RawIOBase.read``."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _FetchError(f"unpacks to more than {LARGEST:,} bytes")
        return data


def _check_member(name: str, number: int, *, link: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if link or path.is_absolute() or ".." in path.parts:
        raise _FetchError(
            f"is not safe: its member {name!r} is a link or leaves the archive's folder; get the"
            " archive from another address"
        )
    if number >= _MEMBERS:
        raise _FetchError(f"holds more than {_MEMBERS:,} files")
