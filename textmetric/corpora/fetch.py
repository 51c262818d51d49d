"""Downloads: several addresses in order, a mirror, and archives that are read, never unpacked.

pooch downloads, retries, compares checksums, and names a file only when it is complete. This
module decides which address comes next, refuses what is not the file, and collects what each
address answered into one sentence.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from textmetric import __version__
from textmetric.corpora.readers import read_bytes
from textmetric.errors import UserError
from textmetric.files import write_error

if TYPE_CHECKING:
    import requests

_ARCHIVES = (".tgz", ".tar.gz", ".zip")
TRIES = 3
"""Downloads from one address that may fail before the next address is tried."""

_TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds between two bytes
_CHUNK = 1 << 16  # bytes


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
    """An address or a file that cannot be used; the text says why."""


def fetch(
    corpus: str,
    wanted: Sequence[str],
    alternatives: Sequence[Sequence[File]],
    *,
    cache: Path,
    mirror: str | None = None,
    progress: bool = True,
) -> list[bytes]:
    """Get the contents of a corpus's files from the cache, a mirror or the public addresses.

    Args:
        corpus: its name, for messages.
        wanted: the names of the files to return.
        alternatives: ways to get them all: either one file for each name in ``wanted``, or one
            archive that holds them. A way whose files are all in the cache comes first.
        cache: the folder for downloads.
        mirror: a folder, or the URL of one, that holds the same names. It replaces the public
            addresses; the same checksums apply to it.
        progress: show a progress bar.

    Returns:
        The content of each file in ``wanted``.

    Raises:
        UserError: every way failed; the sentence says what each address answered.
    """
    folder = _folder(cache, mirror)
    reasons = []
    for files in sorted(
        alternatives, key=lambda files: not all((folder / file.name).is_file() for file in files)
    ):
        try:
            paths = [_get(file, _urls(file, mirror), folder, progress) for file in files]
            if paths[0].name.endswith(_ARCHIVES):
                return read_archive(paths[0], wanted, discard=bool(_urls(files[0], mirror)))
            return [read_bytes(path) for path in paths]
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
    return Path(mirror).expanduser()


def _urls(file: File, mirror: str | None) -> tuple[str, ...]:
    if mirror is None:
        return file.urls
    return (f"{mirror.rstrip('/')}/{file.name}",) if _is_url(mirror) else ()


def _is_url(mirror: str) -> bool:
    return re.match(r"[a-z]+://", mirror) is not None


def _get(file: File, urls: Sequence[str], folder: Path, progress: bool) -> Path:
    """The path of the file in ``folder``, downloaded unless it is there with the right checksum."""
    import pooch

    path = folder / file.name
    reasons = []
    if not path.is_file():
        if not urls:
            raise _FetchError(f"{path} does not exist")
    elif file.checksum is None or pooch.hashes.hash_matches(str(path), file.checksum):
        return path
    else:
        reasons.append(f"{path} does not have the checksum {file.checksum}")
    for url in urls:
        try:
            _download(url, file, folder, progress)
            return path
        except _FetchError as failure:
            reasons.append(f"{url}: {failure}")
    raise _FetchError("; ".join(reasons))


def _download(url: str, file: File, folder: Path, progress: bool) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    http = pooch.HTTPDownloader(
        progressbar=progress,
        chunk_size=_CHUNK,
        timeout=_TIMEOUT,
        # Without "identity" a server may compress the body and give the length of that.
        headers={"Accept-Encoding": "identity", "User-Agent": f"textmetric/{__version__}"},
        hooks={"response": _refuse},
    )

    def not_empty(address: str, output: str, store: Any) -> None:
        http(address, output, store)
        if not Path(output).stat().st_size:
            raise _FetchError("an empty file")

    store = pooch.create(
        path=folder,
        base_url="",
        registry={file.name: file.checksum},
        urls={file.name: url},
        retry_if_failed=TRIES - 1,
    )
    try:
        store.fetch(file.name, downloader=not_empty)
    except requests.HTTPError as error:
        raise _FetchError(f"HTTP {error.response.status_code}") from None
    except requests.Timeout:
        raise _FetchError("no answer in time") from None
    except requests.exceptions.ChunkedEncodingError:
        raise _FetchError("the connection broke before the end of the file") from None
    except requests.ConnectionError:
        raise _FetchError("no connection") from None
    except requests.RequestException as error:
        raise _FetchError(f"no valid address or answer ({error})") from None
    except ValueError:  # from pooch
        raise _FetchError(f"its content does not have the checksum {file.checksum}") from None


def _refuse(response: requests.Response, **_: Any) -> None:
    """Raise at once for answers that no further try would change."""
    status = response.status_code
    if 400 <= status < 500 and status not in (408, 429):  # timeout, too many requests
        raise _FetchError(f"HTTP {status}")
    page = response.headers.get("Content-Type", "").startswith("text/html")
    if response.ok and page and not response.is_redirect:
        raise _FetchError("a web page instead of the file; it may ask for an account")


def read_archive(archive: Path, wanted: Sequence[str], *, discard: bool) -> list[bytes]:
    """Read files out of an archive into memory; nothing is written, and no link is followed.

    Args:
        archive: a ``.tgz``, ``.tar.gz`` or ``.zip``.
        wanted: names; a member matches by its last part (``train.csv``), in any folder.
        discard: remove a damaged archive, so that the next run downloads it again.

    Raises:
        UserError: a member is a link or would lie outside the archive's folder.
        _FetchError: the archive is damaged, or a file is missing in it.
    """
    names = [PurePosixPath(name).name for name in wanted]
    members = _zip_members if archive.name.endswith(".zip") else _tar_members
    try:
        contents = {PurePosixPath(name).name: data for name, data in members(archive, names)}
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        EOFError,
        zlib.error,
        NotImplementedError,  # of zipfile: a compression that it does not know
    ) as error:
        if discard:
            archive.unlink()
        raise _FetchError(f"{archive} is damaged or incomplete ({error})") from None
    for name in names:
        if name not in contents:
            raise _FetchError(f"{archive} holds no file {name}")
    return [contents[name] for name in names]


def _zip_members(archive: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            _check_member(archive, entry.filename, link=stat.S_ISLNK(entry.external_attr >> 16))
            if not entry.is_dir() and PurePosixPath(entry.filename).name in names:
                yield entry.filename, packed.read(entry)


def _tar_members(archive: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive, "r:gz") as packed:
        for member in packed:
            _check_member(archive, member.name, link=not (member.isfile() or member.isdir()))
            content = packed.extractfile(member)
            if content is not None and PurePosixPath(member.name).name in names:
                yield member.name, content.read()


def _check_member(archive: Path, name: str, *, link: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if link or path.is_absolute() or ".." in path.parts:
        raise UserError(
            f"archive {archive} is not safe: its member {name!r} is a link or leaves the archive's"
            " folder; get the archive from another address"
        )
