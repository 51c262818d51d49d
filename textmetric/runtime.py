"""Use a saved model: embed, classify, compare and find neighbours with numpy and safetensors alone.

What trained the model (torch, numba, pydantic, scikit-learn, …) is not imported, and need not be
installed. The embeddings are those of :meth:`.TextEmbedder.transform`, bit for bit.
"""

from __future__ import annotations

import numpy as np

from textmetric.errors import UserError
from textmetric.inference import checked_vectors, embed_tokens, embed_vectors
from textmetric.predictor import Predictor, class_prior
from textmetric.saved import Saved, labels_of
from textmetric.search import Searcher, Texts, is_numbers
from textmetric.text import checked_texts
from textmetric.types import Bools, Float32, Float64, PathLike


class Model(Predictor, Searcher):
    """A saved model, ready to embed and classify.

    Attributes:
        label_names: the C class names.
        classes_: (C,) the labels, of the type that they had.
        class_prior_: (C,) float64, the share of each class in the labelled texts.
        temperature_: of the probabilities; None if it was not fitted.
        dim: width of the embeddings.
        frozen: whether it embeds given vectors in place of texts.
        centroids: (C, dim) float32 of the train rows of each class; NaN for a class without any.

    >>> from tempfile import TemporaryDirectory
    >>> import textmetric
    >>> texts = ["red apple pie", "green apple juice", "fast red car", "slow green car"]
    >>> embedder = textmetric.TextEmbedder(dim=32, lr=0.1)
    >>> embedder = embedder.fit(texts, ["food", "food", "road", "road"])
    >>> with TemporaryDirectory() as folder:
    ...     embedder.save(folder)
    ...     model = textmetric.load(folder)
    >>> model.predict(["juice pie"]).tolist(), model.transform(["juice pie"]).shape
    (['food'], (1, 32))
    >>> model.index(texts).neighbors(["a car"], k=2).rows.tolist()
    [[2, 3]]
    """

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self.label_names = saved.label_names
        self.classes_ = labels_of(saved.label_names, saved.label_type)
        self.class_prior_ = class_prior(saved.counts, len(saved.label_names))
        self.temperature_ = saved.temperature
        self.frozen = saved.frozen
        self.centroids = saved.classifier.centroids
        self.dim: int = saved.recipe["model"]["dim"]
        self._n_features_out = self.dim

    @classmethod
    def load(cls, folder: PathLike) -> Model:
        """The model that ``TextEmbedder.save`` or the pipeline wrote to ``folder``.

        Raises:
            UserError: a file is missing, damaged or of another format.
        """
        return cls(Saved.read(folder))

    def transform(self, texts: Texts) -> Float32:
        """The embeddings (n, dim) float32 of n texts.

        Args:
            texts: n texts; or, if the encoder is frozen, their vectors (n, width), which its
                sentence encoder or the user gives.

        Raises:
            UserError: an item is no string, the package ``tokenizers`` is missing that the model's
                tokenizer needs, or the vectors are missing, not finite or of another width.
        """
        return self.embed(texts)[0]

    def embed(self, texts: Texts) -> tuple[Float32, Bools]:
        """What :meth:`transform` gives, and which of the n texts have a known token (n,)."""
        saved = self._saved
        layer = saved.recipe["model"]["layer"]
        if saved.frozen:
            embeddings = embed_vectors(self._text_vectors(texts), layer, saved.encoder)
            return embeddings, np.ones(len(embeddings), dtype=bool)
        tokens = saved.vocabulary.encode(checked_texts(texts, empty_allowed=True))
        weights = {name: array for name, array in saved.encoder.items() if name != "weight"}
        vectors = saved.encoder["weight"]
        embeddings = embed_tokens(vectors, tokens.ids, tokens.offsets, layer, weights)
        return embeddings, tokens.lengths > 0

    def scores(self, X: Texts) -> tuple[Float64, Bools]:  # noqa: N803
        """The scores (n, C) of the classes, and which of the n texts have a known token (n,)."""
        embeddings, known = self.embed(X)
        return self._saved.classifier.scores(embeddings), known

    def decide(self, embeddings: Float32, known: Bools) -> Float64:
        """The decisions (n, C) about texts that :meth:`embed` has embedded, see :meth:`decisions`.

        Their softmax is the probabilities, and the largest is the label that :meth:`predict` gives.
        """
        return self.decisions(self._saved.classifier.scores(embeddings), known)

    def _text_vectors(self, texts: Texts) -> Float32:
        width, source = self._saved.width, self._saved.recipe["model"].get("vectors")
        if not is_numbers(texts):
            raise UserError(
                f"this model embeds given vectors, not texts: give an array (n, {width})"
                if source is None
                else f"this model embeds the vectors of the sentence encoder {source}: give an "
                f"array (n, {width}) of them, or use TextEmbedder.load, which needs the extras "
                "train and pretrained"
            )
        found = checked_vectors(texts, "the text vectors")
        if found.shape[1] != width:
            raise UserError(
                f"the text vectors have the shape {found.shape}, but the encoder was made for "
                f"(n, {width}): give vectors of that width, or train again"
            )
        return found


load = Model.load
