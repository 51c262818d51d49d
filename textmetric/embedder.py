"""TextEmbedder: the pipeline's training and embedding as one scikit-learn estimator."""

from __future__ import annotations

import copy
import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from textmetric.errors import UserError, needing

with needing("TextEmbedder", "train"):
    import torch
    from sklearn.exceptions import NotFittedError
    from sklearn.utils import Tags
    from sklearn.utils.validation import column_or_1d, validate_data
    from tqdm.auto import tqdm

from textmetric.encoders import (
    BagEncoder,
    FrozenEncoder,
    Layer,
    TextVectors,
    inputs_of,
    token_vectors,
)
from textmetric.encoders.frozen import sentence_vectors
from textmetric.encoders.vectors import reduced
from textmetric.grid import Family, Sampler
from textmetric.inference import checked_vectors
from textmetric.labels import check_labels
from textmetric.losses import family_of, label_free, named
from textmetric.model import TrainedModel
from textmetric.params import Data, Model, Pretrain, Train
from textmetric.predictor import class_prior
from textmetric.sampling.streams import Stream, seed_of
from textmetric.saved import LabelType, labels_of
from textmetric.schema import Section, validated
from textmetric.search import Texts, is_numbers
from textmetric.text import (
    NGRAMS,
    UNKNOWN,
    LabelledTokens,
    RaggedTokens,
    TokenizedCorpus,
    Tokens,
    TokenVectors,
    Vocabulary,
    checked_texts,
    tokenize_given,
    tokenize_train,
    tokenizer_named,
)
from textmetric.text_classifier import TextClassifier, refuse
from textmetric.training.device import choose_device
from textmetric.training.loop import first_encoder, train
from textmetric.training.pretraining import pretrain as learn_without_labels
from textmetric.training.selection import (
    LEARNING_RATES,
    choose_lr,
    fold_count,
    logistic_regression,
)
from textmetric.types import Bools, Float32, Float64

Given = Float32 | TextVectors | None
"""Vectors that an encoder is given, see :func:`.build_encoder`."""


_LABEL_TYPES: dict[str, LabelType] = {
    "U": "str", "T": "str", "O": "str", "i": "int", "u": "int", "f": "float", "b": "bool",
}  # fmt: skip
Auto = Literal["auto"]
WIDTH = 256
SEEN = 100_000
"""Texts that a training sees in all, where :data:`EPOCHS` allows."""
EPOCHS = (4, 10)
FEW_ROWS = 2000
"""With more rows, logistic regression overfits embeddings that were trained on them."""
MANY_CLASSES = 30
"""From this many classes on, batches have 256 texts instead of 64, and centroids predict better."""
STUDY: dict[str, Any] = {
    "dim": 32,
    "start": "uniform",
    "tokenizer": "basic_english",
    "epochs": 10,
    "batch_size": 64,
    "lr": 0.1,
    "pretrain": None,
    "classifier": "centroid",
}
"""The parameters with which an embedder is trained as the pipeline trains by default."""
PRETRAIN = Pretrain(objective="inverse_cloze", epochs=3, lr=0.1)
"""What is learnt from texts without a label by default."""


_KEYS = {key for section in (Data, Model, Train) for key in section.model_fields}
_KEY = re.compile(rf"\b(data|model|train)\.(?=({'|'.join(sorted(_KEYS))})\b)")


class _Own(Section):
    """The parameters that are no keys of params.yaml."""

    sampler: Sampler
    tokenizer: Literal["words", "basic_english", "basic_english_ngrams"]
    tune_vectors: bool
    classifier: Literal["auto", "centroid", "logistic"]
    calibrate: bool
    warm_start: bool
    progress: bool


@contextmanager
def _own_keys() -> Iterator[None]:
    """Name parameters in errors as the estimator does: ``dim``, not ``model.dim``."""
    try:
        yield
    except UserError as error:
        raise UserError(_KEY.sub("", str(error))) from None


class _Checked(NamedTuple):
    """The checked parameters."""

    family: Family
    objective: dict[str, Any]
    model: Model
    settings: Train
    pretrain: Pretrain | None
    data: Data


class TextEmbedder(TextClassifier):
    """Learn embeddings of short texts from their labels, by classification or metric learning.

    Args:
        objective: name of the objective, such as ``sup_con`` or ``cross_entropy``
            (docs/objectives.md).
        objective_params: its parameters, such as ``{"margin": 0.5}``; None for its defaults.
        sampler: how batches are drawn: ``shuffled`` or ``balanced``.
        dim: width of the embedding; ``auto``: 256, or the width of given vectors that are narrower.
        layer: ``bag``, ``linear``, ``layernorm`` or ``mlp``, the layer that is the embedding.
        encoder: ``bag`` of token vectors, or ``frozen`` text vectors of which a projection is
            trained (docs/encoders.md); ``layer`` must not be ``bag`` then.
        tokenizer: ``words``, the study's ``basic_english``, or ``basic_english_ngrams``
            (docs/text.md). Given vectors have their own instead, those of a file of word vectors
            ``basic_english``.
        start: where token vectors start that are not given: ``lsa`` of the texts, or ``uniform``.
        vectors: for a bag, the token vectors to start from: a file of word vectors, or the folder
            or hub name of a model. For a frozen encoder, the folder or hub name of the sentence
            encoder, or None: :meth:`fit`, :meth:`transform` and :meth:`predict` then take a float
            array (n, width) in place of the texts.
        weights: with ``idf`` each token vector of a bag starts multiplied by its inverse document
            frequency; ``uniform`` for none.
        tune_vectors: train the token vectors too, if the encoder is a bag.
        epochs: passes over the texts; ``auto``: as many as see 100,000 texts, from 4 to 10.
        batch_size: texts a batch, at least 4; ``auto``: 64, or 256 with 30 classes or more.
        optimizer: ``adagrad``, ``sgd`` or ``adam``.
        lr: learning rate at the first step; ``auto``: one of five, chosen by cross-validation on
            the texts with a label, see :func:`.choose_lr`.
        decay: ``linear`` to zero, or ``constant``.
        pretrain: what to learn from the texts before, without their labels, such as
            ``{"objective": "inverse_cloze", "epochs": 5}`` (docs/training.md); None for nothing;
            ``auto``: ``inverse_cloze`` if there are texts without a label, and the encoder is a
            bag.
        classifier: how :meth:`predict` works if the objective has no head: ``centroid``, the class
            centroid with the largest cosine; ``logistic``, a logistic regression on the unit
            embeddings; ``auto``: the second with at most 2,000 texts of less than 30 classes.
        calibrate: fit the temperature of :meth:`predict_proba` on held-out texts. This costs up to
            five trainings more if ``lr`` is given, and none if it is chosen.
        warm_start: :meth:`fit` goes on from the encoder of the last fit, or of :meth:`load`: it
            keeps the vectors of the tokens that it knows, the learning rate and the temperature,
            and adds the tokens that are new. The classes may be others.
        min_freq: tokens that occur less often are unknown.
        max_size: at most this many tokens in the vocabulary; None for all.
        seed: of weights, batches and mining; same seed, same result.
        device: where to train: ``auto``, ``cpu`` or ``cuda``.
        progress: show a progress bar.

    Attributes:
        model_: the trained model.
        lr_: the learning rate that was used.
        held_out_accuracy_: the accuracy at this learning rate on the texts that were held out to
            choose it, or to fit the temperature; None if none were. :meth:`load` does not have it.
        temperature_: of :meth:`predict_proba`; None if it was not fitted.
        classes_: (C,) the labels, sorted.
        class_prior_: (C,) the share of each class in the labelled texts.
        curve_: a dict an epoch: loss, active fraction, distances.

    >>> texts = ["red apple pie", "green apple juice", "fast red car", "slow green car"]
    >>> embedder = TextEmbedder(dim=32, lr=0.1).fit(texts, ["food", "food", "road", "road"])
    >>> embedder.transform(["apple car"]).shape
    (1, 32)
    >>> embedder.predict(["juice pie"]).tolist()
    ['food']
    """

    def __init__(
        self,
        objective: str = "sup_con",
        *,
        objective_params: Mapping[str, Any] | None = None,
        sampler: str = "balanced",
        dim: int | Auto = "auto",
        layer: Layer = "bag",
        encoder: str = "bag",
        tokenizer: str = "words",
        start: str = "lsa",
        vectors: str | None = None,
        weights: str = "uniform",
        tune_vectors: bool = True,
        epochs: int | Auto = "auto",
        batch_size: int | Auto = "auto",
        optimizer: str = "adagrad",
        lr: float | Auto = "auto",
        decay: str = "linear",
        pretrain: Mapping[str, Any] | Auto | None = "auto",
        classifier: str = "auto",
        calibrate: bool = True,
        warm_start: bool = False,
        min_freq: int = 1,
        max_size: int | None = None,
        seed: int = 0,
        device: str = "auto",
        progress: bool = False,
    ) -> None:
        self.objective = objective
        self.objective_params = objective_params
        self.sampler = sampler
        self.dim = dim
        self.layer = layer
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.start = start
        self.vectors = vectors
        self.weights = weights
        self.tune_vectors = tune_vectors
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.decay = decay
        self.pretrain = pretrain
        self.classifier = classifier
        self.calibrate = calibrate
        self.warm_start = warm_start
        self.min_freq = min_freq
        self.max_size = max_size
        self.seed = seed
        self.device = device
        self.progress = progress

    def fit(self, X: Texts, y: Sequence[Any], **unsupported: Any) -> TextEmbedder:  # noqa: N803
        """Learn from n texts and their n labels.

        Args:
            X: n texts.
            unsupported: what other estimators take, such as ``sample_weight``.
            y: n labels. The number -1, None and an empty string mark a text without a label:
                it counts for the vocabulary and for the pre-training, and for nothing else.

        Raises:
            UserError: a bad parameter, an empty text, a missing label, labels of two types,
                different lengths, a single class, a class with one row, vectors that are missing
                or damaged, or an argument such as ``sample_weight`` that is not supported.
        """
        refuse(unsupported)
        texts = self.checked_inputs(X)
        classes, codes = checked_labels(y, len(texts))
        vocabulary, tokens, vectors = self.encoded(texts)
        self.fit_tokens(vocabulary, *divided(tokens, codes), classes, vectors)
        self._fitted_inputs, self._fitted_index = inputs_of(tokens, vectors), None
        return self

    def checked_inputs(self, X: Texts) -> list[str] | Float32:  # noqa: N803
        """What :meth:`fit` gets, as a list or, for a frozen encoder without a name, an array.

        Raises:
            UserError: a bad parameter, an empty text, or vectors that are not finite numbers.
        """
        model = self._checked_parameters().model  # before the work on the texts
        if model.encoder == "frozen" and model.vectors is None:
            return self._vectors(X, reset=True)
        return checked_texts(X)

    @_own_keys()
    def encoded(self, texts: list[str] | Float32) -> tuple[Vocabulary, RaggedTokens, Given]:
        """The train texts as :meth:`fit_tokens` takes them, and what vectors the encoder is given.

        Args:
            texts: of :meth:`checked_inputs`.

        Raises:
            UserError: the vectors that are named are missing or damaged, or no token is left.
        """
        if self.encoder == "frozen":
            if isinstance(texts, list):
                assert self.vectors is not None  # or the texts would be vectors
                found = sentence_vectors(texts, self.vectors, progress=self.progress)
            else:
                found = TextVectors(texts)
            rows = np.arange(len(found.values), dtype=np.int32)
            return Vocabulary([UNKNOWN]), RaggedTokens.one_each(rows), found
        assert isinstance(texts, list)
        checked = self._checked_parameters()
        sizes: dict[str, Any] = {
            "min_freq": checked.data.min_freq,
            "max_size": checked.data.max_size,
        }
        if before := self._before():
            extend = self.tune_vectors and not before.vocabulary.tokenizer.definition
            again = tokenize_given(texts, before.vocabulary, extend=extend, **sizes)
            return again[0], again[1], None
        tokenizer = tokenizer_named(self.tokenizer)
        vectors = checked.model.vectors
        if vectors is None:
            return *tokenize_train(texts, tokenizer=tokenizer, **sizes), None
        given = token_vectors(vectors, max_size=self.max_size, progress=self.progress)
        if self.layer == "bag":
            dim = self._checked_parameters(vectors=given.values).model.dim
            given = TokenVectors(given.vocabulary, reduced(given.values, dim))
        # a tokenizer that comes with the vectors has a token for every text
        extend = self.tune_vectors and not given.vocabulary.tokenizer.definition
        vocabulary, tokens, _ = tokenize_given(texts, given.vocabulary, extend=extend, **sizes)
        return vocabulary, tokens, given.values

    @_own_keys()
    def fit_tokens(
        self,
        vocabulary: Vocabulary,
        data: LabelledTokens,
        unlabelled: RaggedTokens,
        classes: npt.NDArray[Any],
        vectors: Given = None,
    ) -> TextEmbedder:
        """Learn from texts that are tokens already; ``min_freq`` and ``max_size`` have no say.

        Args:
            vocabulary: of the tokens.
            data: n texts and their classes, 0 … C − 1, each class at least twice.
            unlabelled: more texts, for the pre-training.
            classes: (C,) the labels of the classes, sorted.
            vectors: see :meth:`encoded`.

        Raises:
            UserError: a bad parameter.
        """
        checked = self._checked_parameters(data, unlabelled, vectors)
        model, settings, pretrain = checked.model, checked.settings, checked.pretrain
        nothing = LabelledTokens(vocabulary.encode([]), np.empty(0, dtype=np.int32))
        corpus = TokenizedCorpus(
            vocabulary=vocabulary,
            label_names=[str(name) for name in classes],
            train=data,
            validation=nothing,
            test=nothing,
            unlabelled=unlabelled,
        )
        arguments: dict[str, Any] = {
            "family": checked.family,
            "objective": checked.objective,
            "sampler": self.sampler,
            "model": model,
            "seed": checked.data.seed,
            "device": choose_device(self.device, "device"),
            "vectors": vectors,
        }
        device: torch.device = arguments["device"]
        before = self._before()
        rates = self._rates()
        tried = len(rates) * fold_count(data)
        epochs = settings.epochs * (1 + tried) + (0 if pretrain is None else pretrain.epochs)
        logistic = self._classifier(data) == "logistic"
        with (
            # weights are drawn from torch's own random state, which is put back afterwards
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            tqdm(total=epochs, unit="epoch", disable=not self.progress) as bar,
        ):
            encoder = None
            if before is not None:
                encoder = continued(before.encoder, len(vocabulary), vectors, checked.data.seed)
            elif pretrain is not None:
                encoder = first_encoder(corpus, model, checked.data.seed, vectors)
            if pretrain is not None:
                assert encoder is not None
                encoder.to(device)
                learn_without_labels(
                    encoder,
                    corpus.texts,
                    pretrain,
                    settings,
                    seed=checked.data.seed,
                    tick=bar.update,
                )
            temperature = None if before is None else before.temperature
            if rates:
                choice = choose_lr(
                    corpus,
                    settings=settings,
                    encoder=encoder,
                    rates=rates,
                    logistic=logistic,
                    tick=lambda: bar.update(settings.epochs),
                    **arguments,
                )
                temperature = choice.temperature
                settings = settings.model_copy(update={"lr": choice.lr})
            self.model_, self.curve_, *_ = train(
                corpus,
                settings=settings,
                encoder=encoder,
                pretrain=pretrain,
                min_freq=checked.data.min_freq,
                max_size=checked.data.max_size,
                tick=bar.update,
                **arguments,
            )
        if self.model_.head is None and logistic:
            embeddings = self.model_.embed(inputs_of(data.tokens, vectors))
            self.model_.logistic = logistic_regression(embeddings, data.labels)
        self.model_.temperature = temperature
        self.held_out_accuracy_ = choice.accuracy if rates else None
        self.model_.label_type = _LABEL_TYPES[classes.dtype.kind]
        return self._of_model(classes)

    def _before(self) -> TrainedModel | None:
        """The model to go on from; None to start from nothing."""
        return getattr(self, "model_", None) if self.warm_start else None

    def _rates(self) -> tuple[float, ...]:
        """The learning rates to train held-out folds with; none if there is nothing to learn."""
        if self._before() is not None:  # it has seen the rows that would be held out
            return ()
        if _is_auto(self.lr):
            return LEARNING_RATES
        return (self.lr,) if self.calibrate else ()  # type: ignore[return-value]

    def _of_model(self, classes: npt.NDArray[Any]) -> TextEmbedder:
        """Set what follows from ``model_`` and the labels of its classes."""
        model = self.model_
        self.classes_ = classes
        self.class_prior_ = class_prior(model.counts, len(classes))
        self.temperature_ = model.temperature
        self.lr_ = model.recipe.train.lr
        self._n_features_out = model.encoder.dim
        return self

    @_own_keys()
    def _checked_parameters(
        self,
        data: LabelledTokens | None = None,
        unlabelled: RaggedTokens | None = None,
        vectors: Given = None,
    ) -> _Checked:
        """The parameters as the training takes them.

        Without data, which the values ``auto`` depend on, these have any value that is allowed.
        """
        defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(type(self)).parameters.items()
        }
        own = validated(
            _Own, {name: getattr(self, name) for name in _Own.model_fields}, defaults=defaults
        )
        given = {} if self.objective_params is None else self.objective_params
        objective = named(self.objective, given, "objective_params", "objective")
        uniform = self.encoder == "frozen" or self.vectors is not None
        about = {
            "encoder": self.encoder,
            "dim": self._width(vectors),
            "layer": self.layer,
            "vectors": self.vectors,
            "weights": self.weights,
            "start": "uniform" if uniform else self.start,
        }
        model = validated(Model, about, defaults=defaults)
        if own.tokenizer == NGRAMS.name and uniform:
            raise UserError(
                f"tokenizer is {own.tokenizer!r}, which is for token vectors that start at random: "
                "set tokenizer to 'words', or encoder to 'bag' and vectors to None"
            )
        if not own.tune_vectors and self.layer == "bag":
            raise UserError(
                "tune_vectors is False and layer is bag, so nothing of the encoder would be "
                "trained: set layer to linear, layernorm or mlp, or tune_vectors to True"
            )
        rows, classes = (1, 1) if data is None else (len(data), int(data.labels.max()) + 1)
        chosen = {
            "epochs": int(np.clip(round(SEEN / rows), *EPOCHS)),
            "batch_size": 256 if classes >= MANY_CLASSES else 64,
            # until it is chosen
            "lr": LEARNING_RATES[0] if self._before() is None else self.lr_,
        }
        settings = validated(
            Train,
            {
                "optimizer": self.optimizer,
                "decay": self.decay,
                "device": self.device,
                "vectors": "tuned" if own.tune_vectors else "frozen",
            }
            | {
                name: value if _is_auto(getattr(self, name)) else getattr(self, name)
                for name, value in chosen.items()
            },
            defaults=defaults,
        )
        sizes = validated(
            Data,
            {"min_freq": self.min_freq, "max_size": self.max_size, "seed": self.seed},
            defaults=defaults,
        )
        if before := self._before():
            _check_alike(before.recipe.model, model)
        pretrain = self._pretraining(unlabelled)
        return _Checked(family_of(self.objective), objective, model, settings, pretrain, sizes)

    def _width(self, vectors: Given) -> int:
        """The width of the embedding."""
        if not _is_auto(self.dim):
            return self.dim  # type: ignore[return-value]
        if before := self._before():
            return before.encoder.dim
        if isinstance(vectors, np.ndarray) and self.layer == "bag":
            return min(WIDTH, int(vectors.shape[1]))
        return WIDTH

    def _classifier(self, data: LabelledTokens) -> str:
        """How an objective without a head predicts."""
        if self.classifier == "auto":
            few = len(data) <= FEW_ROWS and data.labels.max() + 1 < MANY_CLASSES
            return "logistic" if few else "centroid"
        return self.classifier

    def _pretraining(self, unlabelled: RaggedTokens | None) -> Pretrain | None:
        if _is_auto(self.pretrain):
            wanted = self.encoder == "bag" and self.tune_vectors and unlabelled is not None
            return PRETRAIN if wanted and len(unlabelled or ()) else None
        if self.pretrain is None:
            return None
        pretrain = validated(Pretrain, self.pretrain, "pretrain")  # type: ignore[arg-type]
        label_free(pretrain.objective, pretrain.parameters)
        return pretrain

    def embed_inputs(self, inputs: Tokens | Float32) -> Float32:
        """The embeddings (n, dim) float32 of n texts.

        A bag of token vectors has a zero bag for a text without a known token.
        """
        return self._fitted().embed(inputs)

    def inputs(self, X: Texts) -> tuple[RaggedTokens | Float32, Bools]:  # noqa: N803
        """See :meth:`.TextClassifier.inputs`."""
        model = self._fitted()
        if isinstance(model.encoder, FrozenEncoder):
            if model.encoder.source is None or is_numbers(X):
                values = self._vectors(X)
                return values, np.ones(len(values), dtype=bool)
            texts = checked_texts(X, empty_allowed=True)
            known = np.array([bool(text.strip()) for text in texts], dtype=bool)
            return model.encode(texts, progress=self.progress), known
        tokens = self.model_.vocabulary.encode(checked_texts(X, empty_allowed=True))
        return tokens, tokens.lengths > 0

    def scores(self, X: Texts) -> tuple[Float64, Bools]:  # noqa: N803
        """See :meth:`.TextClassifier.scores`."""
        inputs, known = self.inputs(X)
        return self.model_.classifier.scores(self.model_.embed(inputs)), known

    def _vectors(self, X: Texts, *, reset: bool = False) -> Float32:  # noqa: N803
        """Text vectors (n, width) float32, checked as scikit-learn checks them.

        Args:
            X: an array or a table; numbers or what becomes a number.
            reset: note the width, and the names of the columns of a table.

        Raises:
            UserError: they are strings, of another shape, not finite, or the width is not that of
                the last reset.
        """
        first = next(iter(X), None) if isinstance(X, Sequence | np.ndarray) else None
        if isinstance(X, str | bytes) or isinstance(first, str | bytes):
            raise UserError(
                "the encoder is frozen and vectors is None, so texts must be an array of their "
                "vectors (n, width), not strings: give one, or name a sentence encoder in vectors"
            )
        if isinstance(X, np.ma.MaskedArray):
            X = np.ma.filled(X.astype(np.float32), np.nan)  # noqa: N806
        try:
            with np.errstate(over="ignore"):  # infinity is found
                found: Float32 = validate_data(
                    self, X, dtype=np.float32, ensure_all_finite=False, reset=reset
                )
        except ValueError as error:
            raise UserError(f"the text vectors: {' '.join(str(error).split())}") from None
        return checked_vectors(found, "the text vectors")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.encoder == "frozen" and self.vectors is None:
            tags.input_tags.one_d_array = tags.input_tags.string = False
            tags.input_tags.two_d_array = True
        return tags

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model to ``folder``: ``model.json`` and ``weights.safetensors``.

        Labels are written as text.

        Raises:
            UserError: ``folder`` holds something else than a model, or cannot be written.
        """
        self._fitted().save(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> TextEmbedder:
        """The estimator saved in ``folder``, or a model that the pipeline trained.

        Its parameters are those that trained it, so that a clone of it trains the same again;
        ``progress`` is False.

        Raises:
            UserError: a file is missing, damaged or of a newer format.
        """
        model = TrainedModel.load(folder)
        recipe, tokenizer = model.recipe, model.vocabulary.tokenizer
        objective = dict(recipe.objective)
        embedder = cls(
            objective.pop("name"),
            objective_params=objective or None,
            sampler=recipe.sampler,
            tune_vectors=recipe.train.vectors == "tuned",
            pretrain=None if recipe.pretrain is None else recipe.pretrain.model_dump(),
            min_freq=recipe.min_freq,
            max_size=recipe.max_size,
            # one that comes with given vectors is no parameter
            tokenizer="words" if tokenizer.definition else tokenizer.name,
            classifier="centroid" if model.logistic is None else "logistic",
            calibrate=model.temperature is not None,
            seed=recipe.seed,
            **recipe.model.model_dump(exclude={"ngrams"}),
            **recipe.train.model_dump(exclude={"vectors", "window"}),
        )
        embedder.model_ = model
        return embedder._of_model(labels_of(model.label_names, model.label_type))

    def _fitted(self) -> TrainedModel:
        if not hasattr(self, "model_"):
            raise NotFittedError("this TextEmbedder has learnt nothing yet: call fit or load")
        return self.model_


def continued(before: BagEncoder, tokens: int, vectors: Given, seed: int) -> BagEncoder:
    """An encoder that starts where ``before``, which stays as it is, has ended.

    Args:
        before: of the first tokens.
        tokens: size of the vocabulary; the vectors of the new tokens start at random.
        vectors: those of the texts, for a frozen encoder.
        seed: of the training.

    Raises:
        UserError: the vectors of the texts have another width.
    """
    torch.manual_seed(seed_of(seed, Stream.WEIGHTS))
    if isinstance(before, FrozenEncoder):
        assert isinstance(vectors, TextVectors)
        again = copy.deepcopy(before)
        again.attach(vectors.values)
        return again.train()
    width = int(before.weight.shape[1])
    encoder = BagEncoder(tokens, before.dim, before.layer, width=width)
    encoder.start_at(before.weight.detach().numpy())
    if before.projection is not None:
        assert encoder.projection is not None
        encoder.projection.load_state_dict(before.projection.state_dict())
    return encoder


def _check_alike(before: Model, now: Model) -> None:
    """Check that an encoder can go on as it is asked to.

    Raises:
        UserError: it is of another kind.
    """
    for name in ("encoder", "dim", "layer"):
        was, wanted = getattr(before, name), getattr(now, name)
        if was != wanted:
            raise UserError(
                f"warm_start goes on from a model whose {name} is {was!r}, but {name} is "
                f"{wanted!r}: set it to {was!r}, or warm_start to False"
            )


def _is_auto(value: object) -> bool:
    return isinstance(value, str) and value == "auto"


def checked_labels(
    labels: Sequence[Any], rows: int, *, fewest: int = 2
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """The classes (C,), sorted, and which of them each of the ``rows`` labels is (n,).

    As in scikit-learn's semi-supervised estimators, a label that is the number -1 is none: its
    class is -1. So is that of None and of a string of white space. The string "-1" is a label.

    Args:
        labels: one a text.
        rows: the number of texts.
        fewest: texts that each class must have, 1 or 2.

    Raises:
        UserError: a label is missing, such as NaN, or of another type than the others; a class has
            too few rows, or there is one class.
    """
    if isinstance(labels, np.ma.MaskedArray):
        labels = np.ma.filled(labels.astype(object), np.nan)
    if labels is None:
        raise UserError(  # in scikit-learn's words
            "fit requires y to be passed, but the target y is None: give one label a text"
        )
    if getattr(labels, "ndim", 1) == 2 and np.shape(labels) == (rows, 1):
        labels = column_or_1d(labels, warn=True)
    # numpy makes strings of a list that mixes strings with -1
    each = np.asarray(labels, dtype=object)
    if each.shape != (rows,):
        raise UserError(
            f"{rows} texts came with labels of shape {each.shape}: pass one label a text"
        )
    given = np.array([not _is_none(label) for label in each], dtype=bool)
    check_labels((int(row), each[row]) for row in np.flatnonzero(given))
    values = np.asarray(labels)
    if values.dtype.kind == "T":
        values = np.array(values.tolist())
    if values.dtype.kind == "f" and (values[given] != np.floor(values[given])).any():
        raise UserError(  # in scikit-learn's words
            "Unknown label type: continuous numbers such as "
            f"{values[given][values[given] != np.floor(values[given])][0]}: round them to classes, "
            "or write them as strings"
        )
    classes, found, counts = np.unique(values[given], return_inverse=True, return_counts=True)
    codes = np.full(rows, -1, dtype=np.int32)
    codes[given] = found
    if len(classes) < 2:
        rest = rows - len(found)
        without = f" and {rest} texts without a label (-1, None or empty)" if rest else ""
        remedy = "label texts of two or more" if rest else "add texts"
        raise UserError(
            f"there are {len(classes)} classes{without}, expected at least two: {remedy}"
        )
    if counts.min() < fewest:
        name = classes[counts.argmin()]
        raise UserError(
            f"class {str(name)!r} has one text, expected two or more: add one, or drop it"
        )
    return classes, codes


def _is_none(label: Any) -> bool:
    if isinstance(label, str):
        return not label.strip()
    return label is None or (isinstance(label, int | float | np.number) and label == -1)


def divided(
    tokens: RaggedTokens, codes: npt.NDArray[np.int32]
) -> tuple[LabelledTokens, RaggedTokens]:
    """The texts with a label, and those without, whose class is -1."""
    given = codes >= 0
    if given.all():
        return LabelledTokens(tokens, codes), RaggedTokens.empty()
    return (
        LabelledTokens(tokens.take(np.flatnonzero(given)), codes[given]),
        tokens.take(np.flatnonzero(~given)),
    )
