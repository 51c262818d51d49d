from __future__ import annotations

import http.client
import importlib.util
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains

from tests.browser import Page, chromium
from textmetric.reclustering.actions import Action
from textmetric.reclustering.journal import Journal

if importlib.util.find_spec("nicegui") is None:
    pytest.skip("no nicegui found: make app", allow_module_level=True)

ROOT = Path(__file__).parents[2]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"> {{1+1}} <script>document.title=1</script>"
TEXTS = [HOSTILE, *(f"{fruit} {sign}" for fruit in ("apple", "pear") for sign in "abcdefghi")]
BOLD = "<b onmouseover=alert(1)>bold</b>"
CLUSTERS = [BOLD, *["1"] * 11, *["2"] * 7]
POINTS = """
const canvas = arguments[0], box = canvas.getBoundingClientRect(), found = [];
for (let y = 4; y < box.height; y += 4) for (let x = 4; x < box.width; x += 4) {
    const place = {clientX: box.x + x, clientY: box.y + y, bubbles: true};
    canvas.dispatchEvent(new MouseEvent("mousemove", place));
    if (getComputedStyle(canvas.parentElement).cursor == "pointer"
        && !found.some(([a, b]) => Math.hypot(a - x, b - y) < 20)) found.push([x, y]);
}
return found.map(([x, y]) => [Math.round(x - box.width / 2), Math.round(y - box.height / 2)]);
"""
"""Where a click on the map would do something, from the middle of its canvas."""
SECONDS = 240
"""Patience with a loaded machine."""


class Server:
    """``textmetric recluster --serve`` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        lines = [f'"{text.replace(chr(34), chr(34) * 2)}",{name}'
                 for text, name in zip(TEXTS, CLUSTERS, strict=True)]  # fmt: skip
        (folder / "texts.csv").write_text("\n".join(["body,topic", *lines]) + "\n")
        words = ["recluster", "texts.csv", "--text", "body", "--cluster", "topic"]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "textmetric",
                *words,
                "--turn",
                "turns",
                "--serve",
                "--port",
                "0",
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said: queue.Queue[str] = queue.Queue()
        assert self.process.stdout is not None
        threading.Thread(target=lambda: said.put(self.process.stdout.readline())).start()  # type: ignore[union-attr]
        line = said.get(timeout=SECONDS)
        assert line.startswith("correct on "), self.end(signal.SIGKILL)
        self.address = line.removeprefix("correct on ").strip()

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """The exit status, and what it said on stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, errors


class Desk(Page):
    """The page in the browser."""

    def load(self, address: str) -> None:
        self.size(1300, 900)
        self.browser.get(address)
        self.until(lambda: bool(self.all(".choice")))

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < end, self.texts("body")
            time.sleep(0.05)

    def text(self) -> str:
        return self.texts(".card .text")[0]

    def key(self, key: str, *, then: Callable[[], bool]) -> None:
        self.press(key)
        self.until(then)

    def status(self) -> str:
        return self.texts(".status")[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as found:
        found.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
        )
        yield found


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    started: list[Server] = []

    def start() -> Server:
        started.append(Server(tmp_path))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


def said(folder: Path) -> list[Action]:
    """What the journal of the first turn says, in another process than the server."""
    journal = Journal(folder / "turns", TEXTS, CLUSTERS)
    journal.close()
    return journal.said.actions


def test_a_person_corrects_by_keys_and_a_killed_server_loses_nothing(
    tmp_path: Path, browser: webdriver.Chrome, servers: Callable[[], Server]
) -> None:
    server, page = servers(), Desk(browser, tmp_path)
    page.load(server.address)

    # what is hostile is text
    page.until(lambda: HOSTILE in page.texts(".line"))
    page.until(lambda: BOLD in page.texts(".clusters td"))
    assert page.all("img[src='x']") == []
    assert page.all(".line b, td b") == []
    assert browser.title == "textmetric recluster"

    # one key a correction, then the next text; the likeliest clusters have numbers
    first = page.text()
    choice = page.texts(".choice .name")[1]
    page.key("2", then=lambda: page.text() != first)
    second = page.text()
    page.key("n", then=lambda: page.text() != second)
    page.until(lambda: "1 corrected" in page.status())
    third = page.text()
    page.key("r", then=lambda: page.text() != third)
    page.until(lambda: "2 corrected" in page.status())
    page.key("u", then=lambda: "1 corrected" in page.status())
    page.until(lambda: page.text() == third)

    # a contradiction is refused in a sentence
    page.key("k", then=lambda: page.text() == second)
    page.until(lambda: "in no cluster" in page.texts(".where")[0])
    names = page.texts(".choice .name")
    page.press(
        *[str(place) for place in (1, 2, 3) if names[place - 1] == CLUSTERS[TEXTS.index(second)]]
    )
    page.until(lambda: "take one of these corrections back" in page.texts("body")[0])

    assert _complaints(page) == []
    server.end(signal.SIGKILL)
    wanted = [
        Action("move", (TEXTS.index(first),), (choice,)),
        Action("not here", (TEXTS.index(second),), (CLUSTERS[TEXTS.index(second)],)),
    ]
    assert said(tmp_path) == wanted

    # the corrections are there again; another cluster, a new one, by its name
    server = servers()
    page.load(server.address)
    page.log()  # that the old one was gone
    assert "1 corrected" in page.status()
    page.key("o", then=lambda: bool(page.texts(".heading .name")))
    focused = "return document.activeElement.tagName == 'INPUT'"
    page.key("e", then=lambda: page.run(focused))
    page.press(*"x", "\ue007")
    page.until(lambda: any(name.endswith("x") for name in page.texts(".heading .name")))
    page.until(lambda: not page.all(".question"))  # until then keys go there

    # a click on the map shows the text under it
    before = page.text()
    canvas = page.one("canvas")
    for place in page.run(POINTS, canvas):
        ActionChains(browser).move_to_element_with_offset(canvas, *place).click().perform()
        page.until(lambda: bool(page.texts(".card .text")))
        time.sleep(0.3)
        if page.text() != before:
            break
    assert page.text() != before
    assert page.text() in TEXTS

    # what was said is exported from the menu
    downloads = tmp_path / "downloads"
    page.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
    for button in page.all("button"):
        if "Export" in button.text:
            button.click()
    forms = ["csv", "label-studio", "argilla"]
    page.until(lambda: page.texts(".q-menu .q-item") == forms)
    page.until(lambda: page.all(".q-menu .q-item")[0].is_displayed())
    page.all(".q-menu .q-item")[0].click()
    page.until(lambda: (downloads / "corrections.csv").exists())
    exported = (downloads / "corrections.csv").read_text()
    assert HOSTILE.replace('"', '""') in exported
    assert not page.log()

    # the next turn, with its progress
    page.press("t")
    page.until(lambda: bool(page.all(".busy")))
    page.until(lambda: "turn 1 moved" in page.status())
    page.until(lambda: not page.all(".busy"))
    assert (tmp_path / "turns/turns.json").exists()
    assert (tmp_path / "turns/corrections-1.jsonl").exists()
    assert _complaints(page) == []
    own = f"http://127.0.0.1:{urlsplit(server.address).port}/"
    assert all(
        asked.startswith((own, "chrome", "blob:")) or urlsplit(asked).hostname == "127.0.0.1"
        for asked in page.requests()
    )

    # a foreign page gets nothing, neither by HTTP nor by a websocket
    parts = urlsplit(server.address)
    cookie = "; ".join(f"{each['name']}={each['value']}" for each in browser.get_cookies())
    own = {"Cookie": cookie, "Host": parts.netloc}
    assert _status(parts, own) == 200
    assert _status(parts, {**own, "Origin": "http://evil.example"}) == 403
    assert _status(parts, {**own, "Host": f"evil.example:{parts.port}"}) == 403
    assert _status(parts, {"Host": parts.netloc}) == 403
    socket = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    path = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    good = {**own, **socket, "Origin": f"http://{parts.netloc}"}
    assert _status(parts, good, path) == 101
    assert _status(parts, {**good, "Origin": "http://evil.example"}, path) == 403
    assert _status(parts, {**good, "Host": f"evil.example:{parts.port}"}, path) == 403

    status, errors = server.end(signal.SIGTERM)
    assert status == 128 + signal.SIGTERM
    assert errors.splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors


def _complaints(page: Page) -> list[str]:
    return [line for line in page.log() if "favicon" not in line]


def _status(parts: Any, headers: dict[str, str], path: str = "/") -> int:
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)
    try:
        connection.putrequest("GET", path, skip_host=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()
