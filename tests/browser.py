"""A real Chromium without network, and what a reader does with the page in it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A headless Chromium whose network is off; a skipped test where there is none."""
    program = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        reason = "no chromium and chromedriver found: apt-get install chromium chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory() as profile:
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        browser = webdriver.Chrome(options=options, service=Service(driver))
        try:
            browser.execute_cdp_cmd("Network.enable", {})
            browser.execute_cdp_cmd(
                "Network.emulateNetworkConditions",
                {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
            )
            yield browser
        finally:
            browser.quit()


class Page:
    """The page in the browser.

    Panels are identified by the place of their map in the page and the place of their arm.
    """

    def __init__(self, browser: webdriver.Chrome, path: Path) -> None:
        self.browser = browser
        self.path = path

    def open(self, width: int = 1200, height: int = 900, *, phone: bool = False) -> None:
        """Load the page again, light, without a word in the log."""
        self.size(width, height, phone=phone)
        self.media()
        self.browser.get(f"file://{self.path}")
        self.run("document.documentElement.style.scrollBehavior = 'auto'")

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=phone, maxTouchPoints=2)

    def media(self, kind: str = "screen", theme: str = "light") -> None:
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.cdp("Emulation.setEmulatedMedia", media=kind, features=features)

    def cdp(self, command: str, **arguments: Any) -> Any:
        return self.browser.execute_cdp_cmd(command, arguments)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def wait(self, script: str, *arguments: Any) -> None:
        """Wait until a script gives something true, five seconds at most."""
        WebDriverWait(self.browser, 5, 0.02).until(lambda _: self.run(script, *arguments))

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """What the reader sees of some elements."""
        return list(
            self.run(
                "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)",
                selector,
            )
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def log(self) -> list[str]:
        """What the browser complained about since the last time."""
        return [str(entry["message"]) for entry in self.browser.get_log("browser")]

    def requests(self) -> list[str]:
        """What was asked for since the last time, pictures inside of the page left out."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")
        ]
        asked = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [address for address in asked if not address.startswith("data:")]

    def panel(self, arm: int, map_place: int = 0) -> WebElement:
        """The panel, scrolled to and drawn; what scrolling brings about has happened."""
        panel: WebElement = self.run(
            "const map = document.querySelectorAll('figure.map')[arguments[1]];"
            "const plot = map.querySelector(`.plot[data-arm='${arguments[0]}']`);"
            "plot.scrollIntoView({block: 'center'}); return plot",
            arm,
            map_place,
        )
        self.wait("return arguments[0].querySelector('canvas').width > 1", panel)
        self.browser.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => requestAnimationFrame(() => done()))"
        )
        return panel

    def over(self, panel: WebElement, place: tuple[float, float]) -> ActionChains:
        """The mouse at a place of a panel, in shares of its width."""
        width = float(self.run("return arguments[0].clientWidth", panel))
        return ActionChains(self.browser, duration=0).move_to_element_with_offset(
            panel, round((place[0] - 0.5) * width), round((place[1] - 0.5) * width)
        )

    def ring(self, panel: WebElement) -> tuple[float, float] | None:
        """Where the marked dot of a panel is, in shares of its width."""
        found = self.run(
            "const ring = arguments[0].querySelector('.ring'); if (ring.hidden) return null;"
            "const m = new DOMMatrix(getComputedStyle(ring).transform);"
            "const w = arguments[0].clientWidth; return [m.e / w, m.f / w]",
            panel,
        )
        return None if found is None else (found[0], found[1])

    def colour(self, panel: WebElement, place: tuple[float, float]) -> tuple[int, ...]:
        """Red, green, blue and opacity of what is drawn at a place, 0 to 255."""
        return tuple(
            self.run(
                # Of a copy: a canvas that is read often is drawn without the graphics card.
                "const canvas = arguments[0].querySelector('canvas');"
                "const copy = new OffscreenCanvas(1, 1).getContext('2d');"
                "copy.drawImage(canvas, Math.floor(arguments[1] * canvas.width),"
                " Math.floor(arguments[2] * canvas.height), 1, 1, 0, 0, 1, 1);"
                "return [...copy.getImageData(0, 0, 1, 1).data]",
                panel,
                *place,
            )
        )
