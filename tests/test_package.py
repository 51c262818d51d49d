"""The wheel, and what it does where only its base or its extra ``train`` is installed.

The base is installed by pip into an empty environment, from the package index. The extra ``train``
is hundreds of megabytes, so by default its programs run here, where every module that it does not
bring is hidden; ``make packages`` installs it for real.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import textmetric

ROOT = Path(__file__).parents[1]
NAME = "text-metric-learning"
PINNED = (
    "all", "app", "benchmark", "export", "pml", "pretrained", "study", "test", "test-export",
    "train", "tuning",
)  # fmt: skip
TEXTS = ["green apple pie", "red apple juice", "fast red car", "slow green bus", "red bus lane"]
LABELS = ["food", "food", "road", "road", "road"]
NEW = ["apple pie", "", "nothing known", "a red bus"]


def run(*words: str | Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # nothing of this environment or this checkout is found by a program
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in words], cwd=folder, env=kept, capture_output=True, text=True,
        timeout=1800,
    )  # fmt: skip


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built in a copy, which a build leaves files in."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("textmetric", "stages", "studies", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    (copy / "tests").mkdir()
    (copy / "tests" / "__init__.py").touch()
    done = run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index",
        "--wheel-dir", "dist", ".", folder=copy,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (found,) = (copy / "dist").glob("*.whl")
    return found


def about(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(file.read(name))


def requirements(wheel: Path, extra: str) -> Iterator[Requirement]:
    """What the wheel with this extra requires here, "" for none; without what others require."""
    for line in about(wheel).get_all("Requires-Dist", []):
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
            if wanted.name == NAME:
                for other in wanted.extras:
                    yield from requirements(wheel, other)
            else:
                yield wanted


def environment(folder: Path, wheel: Path, extra: str = "") -> Path:
    """The Python of a new environment with the wheel, in the versions of the lock file."""
    done = run(sys.executable, "-m", "venv", "--without-pip", folder)
    assert done.returncode == 0, done.stderr
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    done = run(
        *pip, "--python", python, "install", "--no-compile", "-c", ROOT / "requirements.lock",
        f"{wheel}{extra}",
    )  # fmt: skip
    if done.returncode:
        alone = run(*pip, "download", "--no-deps", "--no-cache-dir", "-d", folder, "click")
        if alone.returncode:
            last = alone.stderr.strip().splitlines()[-1]
            pytest.skip(f"no package index can be reached, not even for click: {last}")
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The Python of an environment with nothing but the wheel and what it requires."""
    return environment(tmp_path_factory.mktemp("base") / "env", wheel)


def installed(python: Path) -> dict[str, int]:
    """The bytes of files by what lies at the top of site-packages."""
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    return {
        top.name: sum(file.stat().st_size for file in (top, *top.rglob("*")) if file.is_file())
        for top in packages.iterdir()
    }


def test_the_wheel_has_the_library_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {name.split("/")[0] for name in names} == {
        "textmetric", f"text_metric_learning-{textmetric.__version__}.dist-info",
    }  # fmt: skip
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "textmetric").rglob("*.*")}
    ends = (".py", ".typed", ".css", ".html", ".js", ".json")
    kept = {name for name in files if name.endswith(ends)}
    assert {name for name in names if name.startswith("textmetric/")} == kept
    page = {f"textmetric/report/page/page.{end}" for end in ("css", "html", "js")}
    page |= {"textmetric/reclustering/app/page.css", "textmetric/report/answers.json"}
    page |= {"textmetric/compare/rule.json"}
    assert {"textmetric/py.typed"} | page <= kept


def test_the_base_is_small_and_each_extra_is_known(wheel: Path) -> None:
    described = about(wheel)
    assert (described["Name"], described["Version"]) == (NAME, textmetric.__version__)
    assert {wanted.name for wanted in requirements(wheel, "")} == {"click", "numpy", "safetensors"}
    assert {*PINNED, "peers"} <= set(described.get_all("Provides-Extra", []))
    of_all = {str(wanted) for wanted in requirements(wheel, "all")}
    for extra in ("train", "study", "tuning", "pretrained", "pml", "export", "app"):
        assert {str(wanted) for wanted in requirements(wheel, extra)} <= of_all


def test_the_lock_files_have_what_the_extras_require(wheel: Path) -> None:
    pinned = {
        canonicalize_name(line.partition("==")[0])
        for file in ROOT.glob("requirements*.lock")
        for line in file.read_text().splitlines()
    }
    for extra in PINNED:
        wanted = {canonicalize_name(wanted.name) for wanted in requirements(wheel, extra)}
        assert wanted <= pinned, extra


def test_the_base_takes_60_megabytes_beside_the_package_itself(base: Path) -> None:
    most = 60_000_000 if sys.version_info >= (3, 11) else 61_000_000  # for an older numpy
    sizes = installed(base)
    own = sum(size for name, size in sizes.items() if name.startswith("text"))
    assert sum(sizes.values()) - own <= most, sizes
    assert own <= 2_000_000, sizes


USE = """
import sys
import numpy as np
import textmetric
folder, texts = sys.argv[1], sys.argv[2:]
model = textmetric.load(folder + "/model")
rows, cosines = model.index(texts).neighbors(texts, k=2)
found = {"vectors": model.transform(texts), "labels": model.predict(texts, reject="unknown"),
         "chances": model.predict_proba(texts), "rows": rows, "cosines": cosines}
np.savez(folder + "/found.npz", **found)
print(textmetric.__file__)
print(sorted({"torch", "numba", "sklearn", "scipy", "pandas", "pyarrow"} & set(sys.modules)))
"""


def test_the_base_uses_a_saved_model_with_the_same_bits(base: Path, tmp_path: Path) -> None:
    embedder = textmetric.TextEmbedder(dim=4, epochs=2, lr=0.1).fit(TEXTS, LABELS)
    embedder.save(tmp_path / "model")
    texts = [*TEXTS, *NEW]
    done = run(base, "-I", "-B", "-c", USE, tmp_path, *texts)
    assert done.returncode == 0, done.stderr
    file, loaded = done.stdout.splitlines()
    assert Path(file).is_relative_to(base.parents[1])
    assert loaded == "[]"
    found = np.load(tmp_path / "found.npz")
    rows, cosines = embedder.index(texts).neighbors(texts, k=2)
    expected = {
        "vectors": embedder.transform(texts),
        "labels": embedder.predict(texts, reject="unknown"),
        "chances": embedder.predict_proba(texts),
        "rows": rows,
        "cosines": cosines,
    }
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, strict=True)


IMPORT = """
import importlib, pkgutil
import textmetric
from textmetric.errors import UserError
refused = lambda name: None  # a package that cannot be imported
for found in pkgutil.walk_packages(textmetric.__path__, "textmetric.", refused):
    try:
        importlib.import_module(found.name)
    except UserError as error:
        assert isinstance(error, ImportError)
        print(found.name, error)
"""


def test_every_module_can_be_imported_or_says_which_extra_it_needs(base: Path) -> None:
    done = run(base, "-I", "-B", "-c", IMPORT)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    for message in said.values():
        assert message.endswith(
            tuple(f" pip install '{NAME}[{extra}]'" for extra in ("train", "study", "cluster"))
        ), message
    need = "needs the package"
    assert said["textmetric.embedder"] == (
        f"TextEmbedder {need} torch: install it with pip install '{NAME}[train]'"
    )
    assert said["textmetric.ensemble"].startswith(f"TextEnsemble {need} pydantic: ")
    assert said["textmetric.mahalanobis"].startswith(f"Mahalanobis {need} pydantic: ")
    used_as_they_are = {"runtime", "saved", "inference", "predictor", "search", "measures", "text"}
    assert not used_as_they_are & {name.removeprefix("textmetric.") for name in said}


@pytest.mark.parametrize(
    ("call", "purpose", "package", "extra"),
    [
        ("textmetric.TextEmbedder", "TextEmbedder", "torch", "train"),
        ("from textmetric import TextEmbedder", "TextEmbedder", "torch", "train"),
        ("measures.mean_interval([0.1, 0.2])", "mean_interval", "scipy", "train"),
        ("measures.fit_temperature([[1.0, 0]], [0])", "fit_temperature", "scipy", "train"),
        ("measures.clustering([[1.0, 0]] * 4, [0, 0, 1, 1])", "k-means", "scikit-learn", "train"),
        ("corpora.load('table.csv')", "reading a corpus", "pandas", "study"),
    ],
)  # fmt: skip
def test_what_needs_an_extra_says_which(
    call: str, purpose: str, package: str, extra: str, base: Path
) -> None:
    program = f"import textmetric\nfrom textmetric import corpora, measures\n{call}"
    done = run(base, "-I", "-B", "-c", program)
    assert done.stderr.splitlines()[-1] == (
        f"textmetric.errors.MissingPackageError: {purpose} needs the package {package}: "
        f"install it with pip install '{NAME}[{extra}]'"
    )


TRAIN = """
import sys
import numpy as np
import textmetric
from textmetric import TextEmbedder
from textmetric.ensemble import TextEnsemble
from textmetric.mahalanobis import Mahalanobis
from textmetric.measures import mean_interval
texts = ["green apple pie", "red apple juice", "bread with cheese", "cheese and apple pie",
         "fast red car", "slow green bus", "the car and the bus", "a truck on the lane"]
labels = ["food"] * 4 + ["road"] * 4
embedder = TextEmbedder(dim=8).fit(texts, labels)  # lr is chosen, chances are calibrated
embedder.save(sys.argv[1])
vectors = embedder.transform(texts)
for again in (TextEmbedder.load(sys.argv[1]), textmetric.load(sys.argv[1])):
    assert (again.transform(texts) == vectors).all()
    assert again.predict(["apple juice with bread"]).tolist() == ["food"]
    assert (again.predict_proba(texts) == embedder.predict_proba(texts)).all()
small = TextEmbedder("triplet", dim=4, epochs=1, lr=0.1, calibrate=False)
assert TextEnsemble(small, members=2, calibrate=False).fit_transform(texts, labels).shape == (8, 8)
assert Mahalanobis().fit_transform(vectors, labels).shape == (8, 8)
assert mean_interval([0.7, 0.8, 0.9])[0] > 0.79
"""

HIDE = """
import sys
hidden = {hidden!r}
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
try:
    import pandas
except ModuleNotFoundError:
    pass
else:
    sys.exit("pandas is not hidden")
"""


def hidden(wheel: Path, extra: str) -> set[str]:
    """The modules of this environment that neither an extra requires nor what that requires."""
    waiting, seen = list(requirements(wheel, extra)), set[tuple[str, str]]()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        for asked in {"", *wanted.extras} - {extra for one, extra in seen if one == name}:
            seen.add((name, asked))
            for line in metadata.requires(name) or ():
                further = Requirement(line)
                if further.marker is None or further.marker.evaluate({"extra": asked}):
                    waiting.append(further)
    owners = defaultdict[str, set[str]](set)
    for distribution in metadata.distributions():
        for file in distribution.files or ():
            module = file.parts[0] if len(file.parts) > 1 else file.name.split(".")[0]
            owners[module].add(canonicalize_name(distribution.metadata["Name"]))
    names = {name for name, _ in seen}
    return {
        module
        for module, found in owners.items()
        if module.isidentifier() and not module.startswith("__") and names.isdisjoint(found)
    } - {"textmetric"}


def test_the_extra_train_brings_all_that_training_imports(wheel: Path, tmp_path: Path) -> None:
    others = hidden(wheel, "train")
    assert others.isdisjoint({"torch", "numba", "sklearn", "numpy"})
    assert others >= {"pandas", "pyarrow", "dvc", "matplotlib", "requests", "ruamel"}
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{HIDE.format(hidden=others)}{TRAIN}"
    done = run(sys.executable, "-I", "-c", program, tmp_path / "model")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    not os.environ.get("TEXTMETRIC_PACKAGES"),
    reason="installs torch: make packages, or set TEXTMETRIC_PACKAGES",
)
def test_an_environment_with_the_extra_train_trains(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env", wheel, "[train]")
    assert {"pandas", "pyarrow", "dvc", "matplotlib"}.isdisjoint(installed(python))
    done = run(python, "-I", "-B", "-c", TRAIN, tmp_path / "model")
    assert done.returncode == 0, done.stderr
