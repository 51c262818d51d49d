from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import itertools
import socket
import stat
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from textmetric.corpora import fetch
from textmetric.errors import UserError

BODY = bytes(range(256)) * 2000  # 512,000 bytes: several chunks
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


class Site:
    """A server whose behaviour a test sets; it notes the path of every request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/a.bin": BODY}
        self.moved: dict[str, str] = {}  # answers with a redirect, whose body is a web page
        self.status: list[int] = []  # answers to give first
        self.cuts: list[int] = []  # bytes to send before the connection drops, one for a request
        self.kind = "application/octet-stream"
        self.requests: list[str] = []
        self.raw: Iterable[bytes] = ()  # what to send in place of an answer
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(handler.path)
        if self.raw:
            with contextlib.suppress(OSError):  # the other side has had enough
                for part in self.raw:
                    handler.wfile.write(part)
                    handler.wfile.flush()
            handler.close_connection = True
            return
        if self.status:
            handler.send_error(self.status.pop(0))
            return
        if handler.path in self.moved:
            handler.send_response(302)
            handler.send_header("Location", self.moved[handler.path])
            handler.send_header("Content-Type", "text/html")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if handler.path not in self.files:
            handler.send_error(404)
            return
        body = self.files[handler.path]
        handler.send_response(200)
        handler.send_header("Content-Type", self.kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PAUSE", 0.0)


def get(tmp_path: Path, *urls: str, checksum: str | None = MD5, mirror: str | None = None) -> bytes:
    file = fetch.File("set/a.bin", urls, checksum)
    (data,) = fetch.fetch(
        "toy",
        ["set/a.bin"],
        [[file]],
        cache=tmp_path / "cache",
        mirror=mirror,
        progress=False,
    )
    return data


def left(tmp_path: Path) -> set[str]:
    """The files in the cache."""
    return {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}


def test_a_file_is_fetched_once_and_then_read_from_the_cache(site: Site, tmp_path: Path) -> None:
    assert get(tmp_path, site.url + "/a.bin") == BODY
    assert get(tmp_path, site.url + "/a.bin") == BODY
    assert len(site.requests) == 1
    assert left(tmp_path) == {"a.bin"}


def test_a_cut_download_is_tried_again(site: Site, tmp_path: Path) -> None:
    site.cuts = [200_000]
    assert get(tmp_path, site.url + "/a.bin", checksum=None) == BODY
    assert len(site.requests) == 2
    assert left(tmp_path) == {"a.bin"}


@pytest.mark.parametrize("checksum", [MD5, None])
def test_an_incomplete_body_never_has_the_final_name(
    site: Site, tmp_path: Path, checksum: str | None
) -> None:
    site.cuts = [70_000] * fetch.TRIES
    with pytest.raises(UserError, match="the connection broke before the end of the file"):
        get(tmp_path, site.url + "/a.bin", checksum=checksum)
    assert len(site.requests) == fetch.TRIES
    assert left(tmp_path) == set()


def test_an_empty_body_never_has_the_final_name(site: Site, tmp_path: Path) -> None:
    site.files["/a.bin"] = b""
    with pytest.raises(UserError, match=r"a\.bin: an empty file"):
        get(tmp_path, site.url + "/a.bin", checksum=None)
    assert left(tmp_path) == set()


def test_a_bad_checksum_names_the_address_and_leaves_nothing(site: Site, tmp_path: Path) -> None:
    wrong = "md5:" + "0" * 32
    with pytest.raises(UserError, match=r"a\.bin: its content does not have the checksum md5:000"):
        get(tmp_path, site.url + "/a.bin", checksum=wrong)
    assert left(tmp_path) == set()
    assert len(site.requests) == fetch.TRIES


def test_a_cached_file_with_another_checksum_is_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache" / "set").mkdir(parents=True)
    (tmp_path / "cache" / "set" / "a.bin").write_bytes(BODY[1:])
    assert get(tmp_path, site.url + "/a.bin") == BODY


def test_the_second_address_is_tried_after_a_404(site: Site, tmp_path: Path) -> None:
    assert get(tmp_path, site.url + "/gone.bin", site.url + "/a.bin") == BODY
    assert site.requests == ["/gone.bin", "/a.bin"]


def test_the_error_tells_what_every_address_answered(site: Site, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        get(tmp_path, site.url + "/x", site.url + "/y")
    message = str(caught.value)
    assert f"{site.url}/x: HTTP 404; {site.url}/y: HTTP 404" in message
    assert "data.mirror" in message
    assert str(tmp_path / "cache") in message


def test_a_server_error_is_tried_again(site: Site, tmp_path: Path) -> None:
    site.status = [503, 429]
    assert get(tmp_path, site.url + "/a.bin") == BODY
    assert len(site.requests) == 3


def test_tries_of_a_server_that_keeps_failing_are_bounded(site: Site, tmp_path: Path) -> None:
    site.status = [500] * 10
    with pytest.raises(UserError, match=r"a\.bin: HTTP 500"):
        get(tmp_path, site.url + "/a.bin")
    assert len(site.requests) == fetch.TRIES


def test_a_server_that_does_not_answer_in_time_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_TIMEOUT", (0.1, 0.1))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UserError, match="no answer in time"):
            get(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/a.bin")


def test_a_web_page_is_not_taken_for_the_file(site: Site, tmp_path: Path) -> None:
    site.kind = "text/html; charset=utf-8"
    with pytest.raises(UserError, match="a web page instead of the file"):
        get(tmp_path, site.url + "/a.bin", checksum=None)
    assert len(site.requests) == 1
    assert left(tmp_path) == set()


def test_a_redirect_is_followed_even_if_its_own_body_is_a_web_page(
    site: Site, tmp_path: Path
) -> None:
    site.moved = {"/old.bin": "/a.bin"}
    assert get(tmp_path, site.url + "/old.bin") == BODY


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(UserError, match=r"no connection\): run again with a network connection"):
        get(tmp_path, f"http://127.0.0.1:{port}/a.bin")


def test_an_address_that_is_not_one_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no valid address or answer"):
        get(tmp_path, mirror="ftps://nowhere")


def test_a_full_disk_is_one_sentence(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda path, mode: Full(path, "w"))
    with pytest.raises(UserError, match=r"no space left on the disk to write .*cache/set/a\.bin:"):
        get(tmp_path, site.url + "/a.bin")
    assert left(tmp_path) == set()
    assert len(site.requests) == 1


def test_a_cache_that_cannot_be_made_is_one_sentence(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(UserError, match=r"cache/set/a\.bin cannot be written"):
        get(tmp_path, site.url + "/a.bin")


@pytest.mark.parametrize("mirror", ["~nobody-has-this-name/x", "a\0b", "\ud800"])
def test_a_mirror_that_can_be_no_folder_is_one_sentence(mirror: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.mirror is '"):
        get(tmp_path, mirror=mirror)


def test_a_mirror_may_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mirror" / "set").mkdir(parents=True)
    file = tmp_path / "mirror" / "set" / "a.bin"
    with pytest.raises(UserError, match="does not exist"):
        get(tmp_path, mirror=str(tmp_path / "mirror"))
    file.write_bytes(BODY)
    assert get(tmp_path, mirror=str(tmp_path / "mirror")) == BODY
    file.write_bytes(BODY[1:])
    with pytest.raises(UserError, match=r"does not have the checksum md5:.*data\.mirror must hold"):
        get(tmp_path, mirror=str(tmp_path / "mirror"))
    assert file.exists()


def test_a_mirror_may_be_a_url_and_replaces_the_addresses(site: Site, tmp_path: Path) -> None:
    site.files = {"/pub/set/a.bin": BODY}
    assert get(tmp_path, "http://127.0.0.1:1/never", mirror=site.url + "/pub/") == BODY
    assert site.requests == ["/pub/set/a.bin"]


def test_files_of_one_mirror_are_not_taken_for_those_of_another(site: Site, tmp_path: Path) -> None:
    site.files = {"/one/set/a.bin": b"one", "/two/set/a.bin": b"two"}
    for name in ("one", "two"):
        found = get(tmp_path, checksum=None, mirror=f"{site.url}/{name}")
        assert found == name.encode()


def test_files_put_into_the_cache_by_hand_need_no_network(tmp_path: Path) -> None:
    (tmp_path / "cache" / "set").mkdir(parents=True)
    (tmp_path / "cache" / "set" / "a.bin").write_bytes(BODY)
    assert get(tmp_path, "http://127.0.0.1:1/never") == BODY


def test_a_cached_alternative_comes_before_a_download(site: Site, tmp_path: Path) -> None:
    (tmp_path / "toy.zip").write_bytes(packed_zip({"toy/a.bin": BODY}))
    data = fetch.fetch(
        "toy",
        ["set/a.bin"],
        [[fetch.File("set/a.bin", (site.url + "/a.bin",))], [fetch.File("toy.zip")]],
        cache=tmp_path,
        progress=False,
    )
    assert data == [BODY]
    assert site.requests == []


def packed_zip(files: dict[str, bytes], links: tuple[str, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if name in links:
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def packed_tar(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["toy.zip", "toy.tgz", "toy.tar.gz"])
def test_archives_give_the_wanted_files_in_order(tmp_path: Path, kind: str) -> None:
    files = {
        "toy/test.csv": b"2",
        "toy/readme": b"x",
        "toy/train.csv": b"1",
        "toy/._train.csv": b"",
    }
    archive = tmp_path / kind
    archive.write_bytes(packed_zip(files) if kind == "toy.zip" else packed_tar(files))
    wanted = ["toy/train.csv", "toy/test.csv"]
    assert fetch.read_archive(archive, wanted) == [b"1", b"2"]
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("a.tgz", packed_tar({"../train.csv": b"1"})),
        ("a.tgz", packed_tar({"/train.csv": b"1"})),
        ("a.tgz", packed_tar({}, {"toy/train.csv": "/etc/passwd"})),
        ("a.zip", packed_zip({"../train.csv": b"1"})),
        ("a.zip", packed_zip({"toy/train.csv": b"/etc/passwd"}, links=("toy/train.csv",))),
    ],
)
def test_unsafe_archives_are_refused(tmp_path: Path, kind: str, data: bytes) -> None:
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / kind
    archive.write_bytes(data)
    with pytest.raises(UserError, match="is not safe: its member"):
        fetch.read_archive(archive, ["train.csv"])
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "in", archive]


OK = b"HTTP/1.1 200 OK\r\n"
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


def answer(body: bytes = BODY, *headers: bytes, status: bytes = OK) -> list[bytes]:
    length = b"Content-Length: %d" % len(body)
    return [status + b"\r\n".join([*headers, length, b"", body])]


def drip(start: bytes, part: bytes) -> Iterator[bytes]:
    """Send a little again and again, until the other side has had enough."""
    yield start
    while True:
        time.sleep(0.02)
        yield part


TRY_AGAIN = "the connection broke before the end of the file"
LIES: dict[str, tuple[Iterable[bytes], str]] = {
    "nothing at all": ([b" "], "no valid|no connection|broke"),
    "no http": ([b"220 ftp ready\r\n"], "no valid|no connection|broke"),
    "binary": ([bytes(range(256))], "no valid|no connection|broke"),
    "empty": (answer(b""), "an empty file"),
    "empty without a length": ([OK, b"\r\n"], "an empty file"),
    "no content": (answer(b"", status=b"HTTP/1.1 204 No Content\r\n"), "HTTP 204"),
    "a part that was not asked for": (
        answer(BODY[:9], b"Content-Range: bytes 0-8/512000", status=b"HTTP/1.1 206 Partial\r\n"),
        "HTTP 206",
    ),
    "accepted": (answer(status=b"HTTP/1.1 202 Accepted\r\n"), "HTTP 202"),
    "a redirect to nowhere": (answer(status=b"HTTP/1.1 302 Found\r\n"), "HTTP 302"),
    "several choices": (answer(status=b"HTTP/1.1 300 Choices\r\n"), "HTTP 300"),
    "not modified": (answer(b"", status=b"HTTP/1.1 304 Not Modified\r\n"), "HTTP 304"),
    "a redirect to itself": (
        answer(b"", b"Location: /a.bin", b"Connection: close", status=b"HTTP/1.1 301 Moved\r\n"),
        "no valid address or answer",
    ),
    "a redirect to a file": (
        answer(b"", b"Location: file:///etc/passwd", status=b"HTTP/1.1 301 Moved\r\n"),
        "no valid address or answer",
    ),
    "a redirect to no address": (
        answer(b"", b"Location: http://[", status=b"HTTP/1.1 301 Moved\r\n"),
        "no valid address or answer",
    ),
    "shorter than promised": (
        [OK + b"Content-Length: 600000\r\n\r\n", BODY],
        TRY_AGAIN,
    ),
    "a chunk that ends early": (
        [OK + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n", BODY[:99]],
        TRY_AGAIN,
    ),
    "chunks without an end": (
        [OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nrow\n\r\n"],
        TRY_AGAIN,
    ),
    "a chunk of no size": (
        [OK + b"Transfer-Encoding: chunked\r\n\r\nmany\r\nrow\n\r\n"],
        TRY_AGAIN,
    ),
    "a length that is a word": ([OK + b"Content-Length: long\r\n\r\n", BODY], "no number"),
    "a negative length": ([OK + b"Content-Length: -1\r\n\r\n", BODY], "no number"),
    "two lengths": ([OK + b"Content-Length: 5, 6\r\n\r\n", BODY], "no valid|no number"),
    "too long": ([OK + b"Content-Length: 9999999999\r\n\r\n", BODY], "more than 1,073,741,824"),
    "a damaged compression": (answer(BODY, b"Content-Encoding: gzip"), "no valid address or answ"),
    "a page": (answer(PAGE, b"Content-Type: text/html"), "a web page"),
    "a page in capitals": (answer(BODY, b"content-type:  TEXT/HTML ;charset=utf-8"), "a web page"),
    "a page in xhtml": (answer(BODY, b"Content-Type: application/xhtml+xml"), "a web page"),
    "a page without a type": (answer(PAGE), "a web page"),
    "a page as a file": (answer(PAGE, b"Content-Type: application/octet-stream"), "a web page"),
    "a page with a mark": (answer(b"\xef\xbb\xbf\n " + PAGE.lower()), "a web page"),
    "a page in UTF-16": (answer(PAGE.decode().encode("utf-16")), "a web page"),
    "a page after a comment": (answer(b"<!-- a\nb --> " + PAGE), "a web page"),
    "an error in xml": (answer(b'<?xml version="1.0"?><Error>AccessDenied</Error>'), "a web page"),
    "another file": (answer(b"quota exceeded"), r"is not the file \(no row\)"),
    "headers without an end": ([OK + b"X: y\r\n" * 200], "no valid|no connection|broke"),
    "a long header": ([OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n"], "no valid|no connection"),
    "headers for ever": (drip(OK, b"X"), "fewer than 1,024 bytes a second"),
    "a body for ever": (drip(OK + b"\r\n", b"row\n"), "fewer than 1,024 bytes a second"),
    "a chunk for ever": (
        drip(OK + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", b"row\n"),
        "fewer than 1,024 bytes a second",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_whatever_a_server_sends_the_download_ends_and_nothing_wrong_is_kept(
    site: Site, tmp_path: Path, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(name: str, data: bytes) -> bytes:
        if data != BODY:
            raise UserError("no row")
        return data

    site.raw, said = LIES[lie]
    if "bytes a second" in said:  # else a busy machine is taken for a slow server
        monkeypatch.setattr(fetch, "_WINDOW", 0.3)
    file = fetch.File("set/a.bin", (f"{site.url}/a.bin",))
    with pytest.raises(UserError, match=said) as caught:
        fetch.fetch("toy", ["set/a.bin"], [[file]], cache=tmp_path / "cache", progress=False,
                    parse=parse)  # fmt: skip
    assert str(caught.value).isprintable()
    assert left(tmp_path) == set()
    assert len(site.requests) <= 31  # that of a redirect to itself; others at most TRIES
    site.raw = ()
    assert get(tmp_path, f"{site.url}/a.bin", checksum=None) == BODY


def test_a_body_that_grows_for_ever_ends(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LARGEST", 100_000)
    site.raw = itertools.chain([OK + b"\r\n"], itertools.repeat(BODY))
    with pytest.raises(UserError, match="more than 100,000 bytes"):
        get(tmp_path, f"{site.url}/a.bin", checksum=None)
    assert left(tmp_path) == set()


def test_a_download_has_a_last_moment(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_LONGEST", 0.3)
    site.raw = drip(OK + b"\r\n", b"row\n" * 1000)
    with pytest.raises(UserError, match="it takes more than"):
        get(tmp_path, f"{site.url}/a.bin", checksum=None)
    assert left(tmp_path) == set()


def damaged_tar(*, at: int) -> bytes:
    data = bytearray(packed_tar({"train.csv": BODY}))
    data[at] ^= 1
    return bytes(data)


def encrypted_zip() -> bytes:
    data = bytearray(packed_zip({"train.csv": BODY}))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + flags] |= 1
    return bytes(data)


def zip_of_another_crc() -> bytes:
    data = bytearray(packed_zip({"train.csv": BODY}))
    for mark, crc in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        data[data.index(mark) + crc] ^= 1
    return bytes(data)


def zip_of_an_unknown_method() -> bytes:
    data = bytearray(packed_zip({"train.csv": BODY}))
    for mark, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(mark) + method] = 97
    return bytes(data)


WHOLE = {"toy.zip": packed_zip({"train.csv": BODY}), "toy.tgz": packed_tar({"train.csv": BODY})}
ZEROS = bytes(5_000_000)
BAD_ARCHIVES = {
    "half a zip": ("toy.zip", WHOLE["toy.zip"][:200], "is damaged or incomplete"),
    "half a tar": ("toy.tgz", WHOLE["toy.tgz"][:200], "is damaged or incomplete"),
    "no zip": ("toy.zip", BODY, "is damaged or incomplete"),
    "no tar": ("toy.tgz", BODY, "is damaged or incomplete"),
    "gzip of no tar": ("toy.tgz", gzip.compress(BODY), "is damaged or incomplete"),
    "a tar under the name of a zip": ("toy.zip", WHOLE["toy.tgz"], "is damaged or incomplete"),
    "another checksum in zip": ("toy.zip", zip_of_another_crc(), "is damaged .*CRC"),
    "another checksum in gzip": ("toy.tgz", damaged_tar(at=-8), "is damaged .*CRC"),
    "another length in gzip": ("toy.tgz", damaged_tar(at=-4), "is damaged .*length"),
    "a damaged gzip": ("toy.tgz", damaged_tar(at=40), "is damaged"),
    "data after gzip": ("toy.tgz", WHOLE["toy.tgz"] + b"more", "is damaged"),
    "encrypted": ("toy.zip", encrypted_zip(), "is encrypted"),
    "an unknown method": ("toy.zip", zip_of_an_unknown_method(), "is damaged"),
    "without the file": ("toy.zip", packed_zip({"other.csv": b"1"}), r"holds no file train\.csv"),
    "tar without the file": ("toy.tgz", packed_tar({"x.csv": b"1"}), r"holds no file train\.csv"),
    "an empty file": ("toy.zip", packed_zip({"train.csv": b""}), r"train\.csv is empty"),
    "two files": ("toy.tgz", packed_tar({"a/train.csv": b"1", "train.csv": b"2"}), "two files"),
    "a bomb": ("toy.zip", packed_zip({"train.csv": ZEROS}), "unpacks to more than 1,000,000"),
    "a bomb in tar": ("toy.tgz", packed_tar({"train.csv": ZEROS}), "unpacks to more than 1,000"),
    "a bomb next to it": (
        "toy.tgz",
        packed_tar({"a": ZEROS, "train.csv": BODY}),
        "unpacks to more than 1,000,000",
    ),
    "many files": ("toy.tgz", packed_tar(dict.fromkeys(map(str, range(99)), b"")), "more than 50"),
    "outside": ("toy.zip", packed_zip({"../train.csv": b"1"}), "is not safe: its member"),
}


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_a_bad_archive_is_not_kept_and_one_in_the_cache_is_replaced(
    site: Site, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LARGEST", 1_000_000)
    monkeypatch.setattr(fetch, "_MEMBERS", 50)
    name, data, said = BAD_ARCHIVES[kind]
    site.files["/" + name] = data
    file = fetch.File(name, (f"{site.url}/{name}",))

    def found(file: fetch.File) -> list[bytes]:
        return fetch.fetch("toy", ["train.csv"], [[file]], cache=tmp_path, progress=False)

    with pytest.raises(UserError, match=said):
        found(file)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).write_bytes(data)
    with pytest.raises(
        UserError, match=rf"{tmp_path / name} .*{said}.*: delete it, or get it again"
    ):
        found(fetch.File(name))
    site.files["/" + name] = WHOLE[name]
    assert found(file) == [BODY]
    assert (tmp_path / name).read_bytes() == WHOLE[name]
