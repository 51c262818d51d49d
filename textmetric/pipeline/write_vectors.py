"""Read or distil the token vectors that the encoders start from."""

from __future__ import annotations

from textmetric.encoders import token_vectors
from textmetric.files import replacing_folder, write_json
from textmetric.grid import Layout
from textmetric.params import Model


def write_vectors(
    layout: Layout, model: Model, *, max_size: int | None = None, progress: bool = True
) -> None:
    """Read or distil the token vectors that ``model`` names; a frozen encoder has none.

    Writes ``data/vectors/``: ``about.json`` and, if vectors are given, what
    :meth:`.TokenVectors.save` writes. Vectors for a bag without a layer on top get the width of
    the embedding, by their principal components; others stay as wide as they are.

    Args:
        layout: where everything is.
        model: the encoder.
        max_size: of :func:`.token_vectors`.
        progress: show a progress bar.

    Raises:
        UserError: see :func:`.token_vectors`.
    """
    with replacing_folder(layout.vectors) as folder:
        given = None if model.encoder == "frozen" else model.vectors
        about: dict[str, object] = {"vectors": given}
        if given is not None:
            dim = model.dim if model.layer == "bag" else None
            found = token_vectors(given, dim=dim, max_size=max_size, progress=progress)
            found.save(folder / "tokens")
            about |= {"tokens": len(found.vocabulary) - 1, "width": found.values.shape[1]}
        write_json(folder / "about.json", about)
