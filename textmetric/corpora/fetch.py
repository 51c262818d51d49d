"""Downloads: several addresses in order, checksums, retries, and partial files that go on.

pooch decides whether a file is there already, checks it, and gives it its final name in one
move. What it lacks is here: a downloader that continues a partial file by an HTTP range request.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import logging
import lzma
import re
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from textmetric import __version__
from textmetric.errors import UserError
from textmetric.files import write_error

if TYPE_CHECKING:
    import requests

ARCHIVES = (".tgz", ".tar.gz", ".zip")
ATTEMPTS = 3
"""Tries of one address that bring no further byte before the next address has its turn."""

_TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds between two bytes
_CHUNK = 1 << 16


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


class _FetchError(Exception):
    """One address did not give the file; the text says why, ``again`` whether to retry."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def fetch(
    corpus: str,
    wanted: Sequence[str],
    alternatives: Sequence[Sequence[File]],
    *,
    cache: Path,
    mirror: str | None = None,
    progress: bool = True,
    pause: float = 1.0,
) -> Sequence[bytes | Path]:
    """Get the contents of a corpus's files, from the cache, a mirror or the public addresses.

    Args:
        corpus: its name, for messages.
        wanted: the names of the files to return.
        alternatives: ways to get them all: either one file for each name in ``wanted``, or one
            archive that holds them. What is in the cache already comes first.
        cache: the folder for downloads.
        mirror: a folder, or the URL of one, that holds the same names. It replaces the public
            addresses; checksums hold for it as well.
        progress: show a progress bar.
        pause: seconds before the first retry; each further one waits twice as long.

    Returns:
        The content of each file, if it came out of an archive, else its path.

    Raises:
        UserError: nothing worked; the sentence tells what each address answered.
    """
    reasons = []
    folder = cache.expanduser()
    if mirror is not None and _is_url(mirror):
        # Where no checksum is known, another mirror's files must not pass for this one's.
        folder = folder / ("mirror-" + hashlib.sha256(mirror.encode()).hexdigest()[:12])
    for files in sorted(
        alternatives, key=lambda files: not all((folder / file.name).is_file() for file in files)
    ):
        try:
            paths = [_get(file, folder, mirror, progress, pause) for file in files]
            if paths[0].name.endswith(ARCHIVES):
                return unpack(paths[0], wanted, discard=folder in paths[0].parents)
            return paths
        except _FetchError as failure:
            reasons.append(str(failure))
        except OSError as error:
            raise write_error(Path(error.filename or folder), error) from error
    names = ", ".join(wanted)
    if mirror is not None:
        raise UserError(
            f"corpus {corpus} cannot be had from the mirror ({'; '.join(reasons)}): data.mirror"
            f" must hold the original {names}; give other files as a table by their path instead"
        )
    raise UserError(
        f"corpus {corpus} cannot be downloaded ({'; '.join(reasons)}): run again when the network"
        f" is there, set data.mirror to a folder or URL that holds {names}, or put these files"
        f" into {folder}"
    )


def _get(file: File, folder: Path, mirror: str | None, progress: bool, pause: float) -> Path:
    """One file: the path of its checked copy."""
    if mirror is not None and not _is_url(mirror):
        path = Path(mirror).expanduser() / file.name
        if not path.is_file():
            raise _FetchError(f"{path} is not there")
        if not _matches(path, file.checksum):
            raise _FetchError(f"{path} does not have the checksum {file.checksum}")
        return path
    urls = file.urls if mirror is None else (f"{mirror.rstrip('/')}/{file.name}",)
    path = folder / file.name
    if path.is_file() and _matches(path, file.checksum):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    with _alone(path.parent):
        for url in urls:
            try:
                _from_url(url, path, file.checksum, progress, pause)
                return path
            except _FetchError as failure:
                reasons.append(f"{url}: {failure}")
    raise _FetchError("; ".join(reasons) or f"{path} is not there")


def _from_url(url: str, path: Path, checksum: str | None, progress: bool, pause: float) -> None:
    """Download to ``path``, with retries; the partial file stays for the next run."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    part = path.with_name(path.name + ".part")
    resumed = False

    def downloader(address: str, output: str, _: object) -> None:
        nonlocal resumed
        resumed = _download(address, part, checksum is not None, progress)
        part.replace(output)
        _origin(part).unlink(missing_ok=True)

    fruitless = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            pooch.retrieve(
                url, known_hash=checksum, fname=path.name, path=path.parent, downloader=downloader
            )
            return
        except _FetchError as failure:
            grown = part.exists() and part.stat().st_size > before
            fruitless = 0 if grown else fruitless + 1
            if not failure.again or fruitless >= ATTEMPTS:
                raise
            time.sleep(pause * 2 ** max(fruitless - 1, 0))
        except ValueError:  # pooch: the checksum does not fit
            if not resumed:
                raise _FetchError(f"its content does not have the checksum {checksum}") from None
            # The part was of other bytes. It is gone now, so once more, from the start.


def _download(url: str, part: Path, checked: bool, progress: bool) -> bool:
    """Fetch ``url`` into ``part``, going on where an earlier try of the same address ended.

    Returns:
        Whether earlier bytes were kept.

    Raises:
        _FetchError: the address does not answer, refuses, or stops early.
    """
    import requests
    from tqdm import tqdm

    have, headers = _resumable(url, part, checked)
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == 416 and have:
                raise _stale(part)
            if response.status_code >= 400:
                raise _FetchError(
                    f"HTTP {response.status_code}",
                    again=response.status_code in (408, 429) or response.status_code >= 500,
                )
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise _FetchError("a web page instead of the file; it may ask for an account")
            have, total = _length(response, have, part)
            if not have:
                kept = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
                _origin(part).write_text(f"{url}\n{kept}\n", encoding="utf-8")
            with (
                part.open("ab" if have else "wb") as output,
                tqdm(
                    desc=part.name.removesuffix(".part"),
                    total=total,
                    initial=have,
                    unit="B",
                    unit_scale=True,
                    disable=not progress,
                    leave=False,
                ) as bar,
            ):
                for chunk in response.iter_content(_CHUNK):
                    output.write(chunk)
                    bar.update(len(chunk))
    except requests.exceptions.Timeout:
        raise _FetchError("no answer in time", again=True) from None
    except requests.exceptions.ChunkedEncodingError:
        raise _FetchError(f"cut off after {part.stat().st_size} bytes", again=True) from None
    except requests.exceptions.ConnectionError:
        raise _FetchError("no connection", again=True) from None
    except requests.exceptions.RequestException as error:
        raise _FetchError(f"no valid address or answer ({error})") from None
    size = part.stat().st_size
    if total is not None and size < total:
        raise _FetchError(f"cut off after {size} of {total} bytes", again=True)
    if total is not None and size > total:
        raise _stale(part)
    return have > 0


def _resumable(url: str, part: Path, checked: bool) -> tuple[int, dict[str, str]]:
    """How many bytes of ``part`` may be kept, and the request headers for the rest.

    The file beside the part tells its address and the server's mark of that version. Without a
    mark the server could not say that the file has changed, so only a checksum makes it safe.
    """
    # Without "identity" the length and the ranges could be those of a packed body.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"textmetric/{__version__}"}
    if not (part.exists() and _origin(part).exists()):
        return 0, headers
    address, mark, *_ = [*_origin(part).read_text(encoding="utf-8").split("\n"), "", ""]
    have = part.stat().st_size
    if address != url or not have or not (mark or checked):
        return 0, headers
    headers["Range"] = f"bytes={have}-"
    if mark and not mark.startswith("W/"):  # a weak ETag is not allowed in If-Range
        headers["If-Range"] = mark
    return have, headers


def _length(response: requests.Response, have: int, part: Path) -> tuple[int, int | None]:
    """The bytes to keep (0 if the server sends all of them again) and the full length."""
    if response.status_code == 206:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if told is None or int(told[1]) != have:
            raise _stale(part)
        return have, None if told[2] == "*" else int(told[2])
    length = response.headers.get("Content-Length", "")
    if not length.isdigit() or response.headers.get("Content-Encoding"):
        return 0, None
    return 0, int(length)


def _stale(part: Path) -> _FetchError:
    part.unlink(missing_ok=True)
    return _FetchError("the partial file no longer fits", again=True)


def _origin(part: Path) -> Path:
    return part.with_name(part.name + ".from")


def _matches(path: Path, checksum: str | None) -> bool:
    import pooch

    return checksum is None or bool(pooch.hashes.hash_matches(str(path), checksum))


def _is_url(mirror: str) -> bool:
    return re.match(r"[a-z]+://", mirror) is not None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from downloading into ``folder`` at the same time."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unpack(archive: Path, wanted: Sequence[str], *, discard: bool) -> list[bytes]:
    """Read files out of an archive into memory; nothing is written, and no link is followed.

    Args:
        archive: a ``.tgz``, ``.tar.gz`` or ``.zip``.
        wanted: names; a member fits by its last part (``train.csv``), in whatever folder.
        discard: remove an archive that is damaged, so that the next run fetches it again.

    Raises:
        UserError: a member is a link or would lie outside the archive's folder.
        _FetchError: the archive is damaged, or a file is missing in it.
    """
    contents: dict[str, bytes] = {}
    names = [PurePosixPath(name).name for name in wanted]
    try:
        for member, data in _members(archive, names):
            contents[PurePosixPath(member).name] = data
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,  # of zipfile: a compression that it does not know
        OSError,
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if discard:
            archive.unlink()
        raise _FetchError(f"{archive} is damaged or cut off ({error})") from None
    for name in names:
        if name not in contents:
            raise _FetchError(f"{archive} holds no file {name}")
    return [contents[name] for name in names]


def _members(archive: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    data = io.BytesIO(archive.read_bytes())
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(data) as packed:
            for entry in packed.infolist():
                link = stat.S_ISLNK(entry.external_attr >> 16)
                if _is_wanted(archive, entry.filename, names, link=link, folder=entry.is_dir()):
                    yield entry.filename, packed.read(entry)
        return
    with tarfile.open(fileobj=data, mode="r:gz") as tar:
        for member in tar:
            link = not (member.isfile() or member.isdir())
            if _is_wanted(archive, member.name, names, link=link, folder=member.isdir()):
                content = tar.extractfile(member)
                assert content is not None  # a regular file has a content
                yield member.name, content.read()


def _is_wanted(archive: Path, name: str, names: Sequence[str], *, link: bool, folder: bool) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    if link or path.is_absolute() or ".." in path.parts:
        raise UserError(
            f"archive {archive} is not safe: its member {name!r} is a link or leaves the archive's"
            " folder; get the archive from another address"
        )
    return not folder and path.name in names
