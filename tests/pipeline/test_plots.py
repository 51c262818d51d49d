"""``dvc plots show`` and ``dvc plots diff``, as a user runs them, read by a browser offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser import chromium
from textmetric.errors import UserError
from textmetric.grid import ARMS
from textmetric.report.curves import write_curve_tables
from textmetric.report.dvc_page import install_page
from textmetric.report.figures import tsne_panels
from textmetric.yaml12 import flow, read_yaml

ROOT = Path(__file__).parents[2]
SPLITS = ["target", "a-split-of-my-own"]
COLOURS = ["#0072B2", "#56B4E9", "#A65200", "#E69F00"]


def run(folder: Path, *command: str) -> str:
    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "me"), ("EMAIL", "me@example.org"))
    }
    finished = subprocess.run(
        command, cwd=folder, env=os.environ | who, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, (command, finished.stdout, finished.stderr)
    return finished.stdout


def dvc(folder: Path, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *arguments)


def write_plots(folder: Path, map_at_r: float) -> None:
    """What the stages report and tsne leave in plots/."""
    curves = {
        arm: pd.DataFrame(
            [
                (seed, epoch, 1 / epoch, map_at_r + place / 10 + epoch / 100)
                for seed in (0, 1)
                for epoch in (1, 2, 3)
            ],
            columns=["seed", "epoch", "loss", "validation_map_at_r"],
        )
        for place, arm in enumerate(ARMS)
    }
    write_curve_tables(folder / "plots" / "curves", dict.fromkeys(SPLITS, curves))
    points = np.random.default_rng(int(map_at_r * 10)).normal(size=(30, 2))
    for split in SPLITS:
        tsne_panels(
            folder / "plots" / "tsne" / f"{split}.png", {ARMS[0]: points}, np.arange(30) % 2, "ab"
        )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of two revisions, without any cache, with the offline page installed."""
    folder = tmp_path_factory.mktemp("project")
    for name in (".dvc/config", ".dvc/.gitignore", ".dvc/plots", ".gitignore", "dvc.yaml"):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    params = read_yaml(ROOT / "params.yaml", "")
    params["splits"] = {split: {"role": "target"} for split in SPLITS}
    (folder / "params.yaml").write_text(flow(params))
    run(folder, "git", "init", "--quiet")
    for map_at_r in (0.1, 0.3):
        write_plots(folder, map_at_r)
        run(folder, "git", "add", "--all")
        run(folder, "git", "commit", "--quiet", "--message", f"MAP@R from {map_at_r}")
    install_page(folder)
    return folder


@pytest.fixture(scope="module")
def shown(project: Path) -> Path:
    dvc(project, "plots", "show")
    return project / "dvc_plots" / "index.html"


@pytest.fixture(scope="module")
def compared(project: Path) -> Path:
    dvc(project, "plots", "diff", "HEAD~1", "--out", "dvc_plots/diff")
    return project / "dvc_plots" / "diff" / "index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as browser:
        yield browser


def open_offline(browser: webdriver.Chrome, page: Path) -> tuple[list[str], list[Any]]:
    """Open a page and wait for its plots: the addresses it asked for, and what went wrong."""
    for log in ("performance", "browser"):
        browser.get_log(log)  # forgets what was there
    browser.get(page.as_uri())
    count = "return document.querySelectorAll('svg.marks').length"
    WebDriverWait(browser, 20).until(lambda _: browser.execute_script(count) >= len(SPLITS))
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    wrong = [event["params"] for event in events if event["method"] == "Network.loadingFailed"]
    wrong += [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return asked, wrong


# for every plot, how many of its lines have each colour
LINES = """
return Array.from(document.querySelectorAll('svg.marks'), plot => arguments[0].map(colour =>
  Array.from(plot.querySelectorAll('.mark-line path')).filter(
    line => line.getAttribute('stroke') === colour && line.getTotalLength() > 20).length));
"""
WIDTHS = "return Array.from(document.images, image => image.naturalWidth)"


@pytest.mark.parametrize(("page", "revisions"), [("shown", 1), ("compared", 2)])
def test_a_browser_without_network_draws_every_curve_and_picture(
    page: str, revisions: int, browser: webdriver.Chrome, request: pytest.FixtureRequest
) -> None:
    asked, wrong = open_offline(browser, request.getfixturevalue(page))
    assert browser.execute_script("return navigator.onLine") is False
    assert wrong == []
    assert [address for address in asked if not address.startswith("file:")] == []
    # a line an arm and revision for MAP@R, and one for the loss
    assert browser.execute_script(LINES, COLOURS) == [[2 * revisions] * len(ARMS)] * len(SPLITS)
    widths = browser.execute_script(WIDTHS)
    assert len(widths) == revisions * len(SPLITS)
    assert min(widths) > 100


def test_the_page_has_a_plot_a_split_and_vega_inside(shown: Path) -> None:
    text = shown.read_text(encoding="utf-8")
    for split in SPLITS:
        assert text.count(f"vegaEmbed('#plots_curves_{split}_csv', spec)") == 1
        assert text.count(f"static/workspace_plots_tsne_{split}.png") == 1
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=.(?:https?:)?//", text) == []
    assert "{" + "plot_divs}" not in text
    assert "{" + "scripts}" not in text


def test_pictures_of_two_revisions_stand_side_by_side(compared: Path) -> None:
    text = compared.read_text(encoding="utf-8")
    sources = [match for match in re.findall(r'<img src="([^"]+)"', text) if "target" in match]
    assert sources == [
        "static/workspace_plots_tsne_target.png",
        "static/HEAD~1_plots_tsne_target.png",
    ]
    pictures = [compared.parent / source for source in sources]
    assert pictures[0].read_bytes() != pictures[1].read_bytes()


def drawn(project: Path, *arguments: str) -> str:
    """The curves of the split target as SVG."""
    plots = json.loads(dvc(project, "plots", *arguments, "--json", "--out", "dvc_plots/json"))
    (plot,) = plots["data"]["plots/curves/target.csv"]
    return vl_convert.vegalite_to_svg(plot["content"])


def lines(svg: str) -> list[str]:
    marks = re.findall(r'<g class="mark-line.*?</g>', svg, re.DOTALL)
    return [path for mark in marks for path in re.findall("<path[^>]*>", mark)]


def test_a_plot_has_a_line_an_arm_and_the_losses_of_objectives_apart(project: Path) -> None:
    svg = drawn(project, "show")
    for title in ("validation MAP@R", "loss, classification", "loss, metric learning"):
        assert svg.count(f">{title}</text>") == 1
    for arm in ("classification, shuffled", "metric learning, balanced"):
        assert f">{arm}</text>" in svg
    # four of MAP@R, two of either loss
    found = lines(svg)
    assert [sum(colour in line for line in found) for colour in COLOURS] == [2, 2, 2, 2]
    assert len(found) == 8


def test_a_plot_of_two_revisions_dashes_the_older(project: Path) -> None:
    svg = drawn(project, "diff", "HEAD~1")
    assert ">workspace</text>" in svg
    assert ">HEAD~1</text>" in svg
    found = lines(svg)
    assert len(found) == 16
    assert sum('stroke-dasharray="6,4"' in line for line in found) == 8


def test_the_page_stays_out_of_git(project: Path, shown: Path, compared: Path) -> None:
    assert run(project, "git", "status", "--porcelain") == ""


def test_the_page_is_installed_in_a_dvc_project_only(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no folder \.dvc"):
        install_page(tmp_path)


def test_a_missing_package_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (project / ".dvc" / "page.html").read_bytes()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(
        UserError, match="a page with Vega's scripts needs the package vl-convert-python"
    ):
        install_page(project)
    assert (project / ".dvc" / "page.html").read_bytes() == before
