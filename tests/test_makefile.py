"""`make install` in a folder with one tiny package, called torch, in two builds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.skipif(shutil.which("make") is None, reason="make is missing"),
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all builds are CPU builds"),
]

# A second `python -m venv .venv` changes nothing, and takes seconds.
PYTHON = f"""#!/bin/sh
test "$2" = venv -a -d .venv || exec '{sys.executable}' "$@"
"""


def put_wheel(index: Path, name: str, version: str, *needs: str) -> None:
    folder = index / name.replace("_", "-")
    folder.mkdir(parents=True)
    file = f"{name}-{version}-py3-none-any.whl"
    (folder / "index.html").write_text(f'<a href="{file.replace("+", "%2B")}">{file}</a>')
    about = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    with zipfile.ZipFile(folder / file, "w") as wheel:
        wheel.writestr(f"{about}/METADATA", "\n".join(lines) + "\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile, a lock of one package, an index of each build, and no other index."""
    folder = tmp_path / "project"
    (folder / "textmetric" / "report").mkdir(parents=True)
    (folder / "textmetric" / "report" / "dvc_page.py").touch()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements.lock").write_text("torch==2.13.0\n")
    put_wheel(tmp_path / "pypi", "torch", "2.13.0", "nvidia_cuda", "triton")
    put_wheel(tmp_path / "pypi", "nvidia_cuda", "13.0")
    put_wheel(tmp_path / "pypi", "triton", "3.0")
    put_wheel(tmp_path / "cpu", "torch", "2.13.0+cpu")
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return folder


def install(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make install, with the words; the package index has the CUDA build."""
    # not what `make test TORCH=cpu` hands down
    not_kept = ("PIP_", "MAKE", "MFLAGS", "TORCH")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(not_kept)}
    index = (project.parent / "cpu").as_uri()
    chosen = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": (project.parent / "pypi").as_uri(),
        "PIP_RETRIES": "0",
    }
    return subprocess.run(
        ["make", "PYTHON=../python", f"TORCH_INDEX={index}", "install", *words],
        cwd=project, env=kept | chosen, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def installed(project: Path) -> set[str]:
    found = project.glob(".venv/lib/python*/site-packages/*.dist-info")
    return {path.stem for path in found if not path.name.startswith("pip-")} - {"setuptools"}


def test_the_cpu_build_of_torch_takes_the_place_of_the_other_and_stays(project: Path) -> None:
    assert install(project).returncode == 0
    cuda = {"torch-2.13.0", "nvidia_cuda-13.0", "triton-3.0"}
    assert cuda <= installed(project)

    failed = install(project, "TORCH=cpu", "TORCH_INDEX=http://127.0.0.1:9/cpu")
    assert failed.returncode == 2
    message, _, of_make = failed.stderr.partition("\n")
    assert message.startswith(
        "error: torch==2.13.0+cpu could not be installed from TORCH_INDEX=http://127.0.0.1:9/cpu"
    )
    assert of_make.startswith("make: ***")
    assert cuda <= installed(project)

    assert install(project, "TORCH=cpu").returncode == 0
    assert cuda.isdisjoint(found := installed(project))
    assert "torch-2.13.0+cpu" in found

    assert "Nothing to be done" in install(project).stdout
    (project / "requirements.lock").touch()  # as after an update: the build stays what it was
    assert "+cpu" in install(project, "--dry-run").stdout


@pytest.mark.parametrize("word", ["gpu", "CPU", "cpu cpu"])
def test_another_word_for_torch_is_one_sentence(project: Path, word: str) -> None:
    done = install(project, f"TORCH={word}")
    assert done.returncode == 2
    assert f"TORCH is '{word}', expected cpu, or nothing" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (project / ".venv").exists()
