from __future__ import annotations

import errno
import hashlib
import io
import socket
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
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
    """pooch waits some seconds before it tries an address again."""
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda _: None))


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
    # A real small disk needs rights that a test does not have.
    class Full(io.FileIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pooch.downloaders.open", lambda path, _: Full(path, "w"), raising=False)
    with pytest.raises(UserError, match="no space left on the disk"):
        get(tmp_path, site.url + "/a.bin")
    assert left(tmp_path) == set()


def test_a_cache_that_cannot_be_made_is_one_sentence(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pooch.utils.os.makedirs", refuse)
    with pytest.raises(UserError, match="cache cannot be read or written: check its permissions"):
        get(tmp_path, site.url + "/a.bin")


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
    assert fetch.read_archive(archive, wanted, discard=True) == [b"1", b"2"]
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
        fetch.read_archive(archive, ["train.csv"], discard=True)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "in", archive]


@pytest.mark.parametrize("kind", ["toy.zip", "toy.tgz"])
def test_a_damaged_archive_is_an_error_and_is_removed(
    site: Site, tmp_path: Path, kind: str
) -> None:
    files = {"train.csv": BODY}
    whole = packed_zip(files) if kind == "toy.zip" else packed_tar(files)
    site.files["/" + kind] = whole[: len(whole) // 2]
    file = fetch.File(kind, (f"{site.url}/{kind}",))
    with pytest.raises(UserError, match="is damaged or incomplete"):
        fetch.fetch("toy", ["train.csv"], [[file]], cache=tmp_path, progress=False)
    site.files["/" + kind] = whole
    assert fetch.fetch("toy", ["train.csv"], [[file]], cache=tmp_path, progress=False) == [BODY]


def test_an_archive_without_the_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "toy.zip").write_bytes(packed_zip({"other.csv": b""}))
    with pytest.raises(UserError, match=r"holds no file train\.csv"):
        fetch.fetch("toy", ["train.csv"], [[fetch.File("toy.zip")]], cache=tmp_path)
