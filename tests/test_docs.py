"""Every Python snippet of the documentation runs, top to bottom, one namespace a page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from studies import answers
from textmetric.cli.commands import textmetric
from textmetric.files import read_json
from textmetric.report.document import ANSWERS
from textmetric.yaml12 import read_yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what a snippet writes goes there
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "__main__"}
    for match in SNIPPET.finditer(text):
        line = text[: match.start(1)].count("\n")
        code = compile("\n" * line + match[1], str(page), "exec")
        exec(code, namespace)
    assert text.count("```") % 2 == 0


def test_the_command_line_prints_what_its_page_shows(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "textmetric"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m textmetric "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    steps = [step for block in CONSOLE.findall(page) for step in block.split("$ ")[1:]]
    assert len(steps) == 7
    for step in steps:
        command, _, shown = step.partition("\n")
        if command.startswith("cat "):
            (tmp_path / command.removeprefix("cat ")).write_text(shown)
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        expected = ".*".join(map(re.escape, shown.split("…")))  # … is whatever is printed there
        assert re.fullmatch(expected, ended.stdout, re.DOTALL), (command, ended.stdout)


def test_the_first_session_shows_the_help_and_the_options_of_today() -> None:
    page = (ROOT / "docs" / "first-session.md").read_text(encoding="utf-8")
    session = page.partition("```text\n$ ")[2].partition("\n```\n")[0]
    steps = dict(step.partition("\n")[::2] for step in session.split("\n$ "))
    shown = CliRunner().invoke(textmetric, ["--help"], prog_name="textmetric")
    assert steps["textmetric --help"] == shown.stdout.rstrip("\n")
    used = [shlex.split(part) for step in steps for part in step.split(" | ")]
    used = [words[1:] for words in used if words[0] == "textmetric" and words[1:] != ["--help"]]
    assert [name for name, *_ in used] == ["train", "embed", "classify", "neighbors", "neighbors"]
    for name, *words in used:
        command = textmetric.get_command(click.Context(textmetric), name)
        assert command is not None
        command.make_context(name, words)  # fails at an option that is not there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    targets = [match[1] for match in LINK.finditer(page.read_text(encoding="utf-8"))]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"docs/{page.name}" not in readme] == []


def test_the_hosted_ci_runs_on_every_python_that_is_promised() -> None:
    workflow = read_yaml(ROOT / ".github" / "workflows" / "ci.yml", missing="")
    matrix = workflow["jobs"]["ci"]["strategy"]["matrix"]
    tested = [*matrix["python"], *(more["python"] for more in matrix["include"])]
    project = (ROOT / "pyproject.toml").read_text()
    assert sorted(tested) == re.findall(r"Python :: (3\.\d+)", project)
    assert f"the tests run on Python {min(tested)} to {max(tested)}" in (
        ROOT / "README.md"
    ).read_text(encoding="utf-8")


def test_the_answers_in_the_readme_and_in_the_report_are_those_of_the_pages() -> None:
    found = answers.read(sorted((ROOT / "docs").glob("*.md")))
    assert {f"{number}." for number in range(1, 11)} <= {
        answer["question"].split(" ")[0] for answer in found
    }
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, rest = readme.partition("<!-- answers -->")
    assert rest.partition("<!-- end of answers -->")[0].strip() == answers.summary(found)
    assert read_json(ANSWERS) == found


def test_the_results_in_the_readme_are_those_of_the_report() -> None:
    report = (ROOT / "reports" / "results.md").read_text(encoding="utf-8")
    summary = report.partition("## What was run")[0]
    rows = re.findall(r"^\| \[(.*?)\]\(#table-.*?\) \| (.*) \| [a-z, ]+ \|$", summary, re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("### On docstrings")[2]
    shown = readme.partition("\n##")[0]
    assert [f"| {use} | {cells} |" for use, cells in rows] == re.findall(
        r"^\| .*(?:better|%|sampler|verdict).* \|$", shown, re.MULTILINE
    )[1:]
    assert len(rows) == 11
