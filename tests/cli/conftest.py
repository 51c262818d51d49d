from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import toy


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the folder ``my-model`` and the table ``texts.csv``."""
    monkeypatch.chdir(tmp_path)
    toy.saved().write("my-model")
    toy.write_table(tmp_path / "texts.csv")
    return tmp_path
