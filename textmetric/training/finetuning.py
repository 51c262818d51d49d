"""Fine-tuning: train a classifier of the target corpus, starting from a model of the source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from textmetric.encoders import BagEncoder, FrozenEncoder, TextVectors, start_encoder
from textmetric.losses import ClassificationObjective
from textmetric.losses.objective import Gradients
from textmetric.model import TrainedModel
from textmetric.params import Finetune, Model, Train
from textmetric.sampling.batches import WindowSampler
from textmetric.sampling.draws import share_of_rows
from textmetric.sampling.streams import Stream, generator_of, seed_of
from textmetric.text import LabelledTokens, RaggedTokens, TokenizedCorpus, Vocabulary
from textmetric.training.loop import Epoch, fit, one_thread
from textmetric.types import PARTS, Float32, Floats, Int64, Integers

Tuning = Literal["frozen", "finetuned"]
TUNINGS: tuple[Tuning, ...] = ("frozen", "finetuned")
HIDDEN = 64
DROPOUT = 0.2


class TransferHead(ClassificationObjective):
    """The head of the original study, trained by cross-entropy.

    Dropout .2, batch norm, Linear dim → 64, dropout .2, batch norm, Linear 64 → classes, tanh.
    The tanh bounds the logits to ±1 and so caps the confidence: with C classes the largest
    probability is e / (e + (C − 1)/e). ``tanh=False`` leaves it out.

    Args:
        dim: width of the embeddings.
        classes: C.
        tanh: whether the logits end in tanh.
        seed: of the training; the dropout is its stream ``DROPOUT``. Weights are drawn from
            torch's global generator.
    """

    def __init__(self, dim: int, classes: int, *, tanh: bool = True, seed: int = 0) -> None:
        nn.Module.__init__(self)
        self.log: dict[str, float | Tensor] = {}
        self.tanh = tanh
        self.first = nn.BatchNorm1d(dim)
        self.hidden = nn.Linear(dim, HIDDEN)
        self.second = nn.BatchNorm1d(HIDDEN)
        self.out = nn.Linear(HIDDEN, classes)
        self._draws = generator_of(seed, Stream.DROPOUT)

    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, classes) scores of embeddings (B, dim)."""
        scores = self.hidden(self.first(self._dropped(embeddings)))
        scores = self.out(self.second(self._dropped(scores)))
        return torch.tanh(scores) if self.tanh else scores

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of embeddings (B, dim) against labels (B,).

        One row alone has no variance to normalise by: it is scored as in evaluation, by the
        running means and without dropout.
        """
        alone = self.training and len(embeddings) == 1
        if alone:
            self.eval()
        loss = functional.cross_entropy(self.logits(embeddings), labels)
        if alone:
            self.train()
        return loss

    def loss_and_gradient(
        self, embeddings: Floats, labels: Int64, parameters: Sequence[Floats]
    ) -> Gradients | None:
        """See ``Objective.loss_and_gradient``: a quarter of the time that autograd takes."""
        rows = len(embeddings)
        if rows == 1 or not self.training:
            return None
        scale1, shift1, weight1, bias1, scale2, shift2, weight2, bias2 = parameters
        kept1 = self._kept(embeddings.shape, embeddings.dtype)
        normal1, spread1 = _normalised(embeddings * kept1, self.first)
        bottom = normal1 * scale1 + shift1
        hidden = bottom @ weight1.T + bias1
        kept2 = self._kept(hidden.shape, hidden.dtype)
        normal2, spread2 = _normalised(hidden * kept2, self.second)
        top = normal2 * scale2 + shift2
        scores = top @ weight2.T + bias2
        if self.tanh:
            scores = np.tanh(scores)

        lower = scores - scores.max(axis=1, keepdims=True)
        likely = np.exp(lower)
        totals = likely.sum(axis=1, keepdims=True)
        true = np.arange(rows), labels
        loss = float((np.log(totals[:, 0]) - lower[true]).mean())
        slope = likely / totals
        slope[true] -= 1
        slope /= rows
        if self.tanh:
            slope *= 1 - scores * scores

        of_weight2, of_bias2 = slope.T @ top, slope.sum(axis=0)
        slope = slope @ weight2
        of_scale2, of_shift2 = (slope * normal2).sum(axis=0), slope.sum(axis=0)
        slope = _before_normalised(slope, normal2, scale2 * spread2, of_scale2, of_shift2) * kept2
        of_weight1, of_bias1 = slope.T @ bottom, slope.sum(axis=0)
        slope = slope @ weight1
        of_scale1, of_shift1 = (slope * normal1).sum(axis=0), slope.sum(axis=0)
        slope = _before_normalised(slope, normal1, scale1 * spread1, of_scale1, of_shift1) * kept1
        return Gradients(
            loss,
            slope,
            [
                of_scale1,
                of_shift1,
                of_weight1,
                of_bias1,
                of_scale2,
                of_shift2,
                of_weight2,
                of_bias2,
            ],
        )

    def _dropped(self, values: Tensor) -> Tensor:
        if not self.training:
            return values
        kept = self._kept(tuple(values.shape), np.dtype(np.float32))
        return values * torch.from_numpy(kept).to(values)

    def _kept(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
        """For each value 0 if it is dropped, else 1 / (1 − share of dropped values)."""
        kept: Floats = (self._draws.random(shape, dtype=np.float32) >= DROPOUT).astype(dtype)
        kept /= 1 - DROPOUT
        return kept


def _normalised(values: Floats, layer: nn.BatchNorm1d) -> tuple[Floats, Floats]:
    """Batch norm before its scale and shift, and 1 / σ of each column; updates the running means.

    As in torch, the values are divided by the biased deviation of the batch, and the running
    variance is the unbiased one.
    """
    rows, momentum = len(values), layer.momentum or 0.0
    mean = np.add.reduce(values, axis=0) / rows  # np.mean takes twice as long on so few
    centred = values - mean
    variance = np.einsum("ij,ij->j", centred, centred) / rows
    for running, now in (
        (layer.running_mean, mean),
        (layer.running_var, variance * (rows / (rows - 1))),
    ):
        kept = running.numpy()  # type: ignore[union-attr]
        kept += momentum * (now - kept)
    spread: Floats = 1 / np.sqrt(variance + layer.eps)
    return centred * spread, spread


def _before_normalised(
    slope: Floats, normal: Floats, scale: Floats, of_scale: Floats, of_shift: Floats
) -> Floats:
    """The gradient by a batch norm's input, from that by its output (Ioffe & Szegedy 2015)."""
    before: Floats = scale * (slope - (of_shift + normal * of_scale) / len(slope))
    return before


def finetune(
    corpus: TokenizedCorpus,
    source: TrainedModel | None,
    *,
    tuning: Tuning,
    tanh: bool,
    share: float,
    settings: Finetune,
    model: Model,
    train: Train,
    seed: int,
    device: torch.device,
    vectors: Float32 | TextVectors | None = None,
    tick: Callable[[], Any] = lambda: None,
) -> list[dict[str, float]]:
    """Train a classifier of the target on top of the source's embeddings.

    With one seed the head's first weights, the rows of a share and the batches are the same for
    every source, tuning and head: what differs is what is compared.

    Args:
        corpus: the target.
        source: a model trained on the source corpus, or None ("scratch"), see :func:`start`.
        tuning: ``frozen`` (only the head learns) or ``finetuned`` (everything does).
        tanh: whether the head ends in tanh.
        share: how much of the train part to learn from, see :func:`epoch_rows`.
        settings: epochs and learning rate.
        model: the encoder's shape, for scratch.
        train: batch size, optimiser and decay.
        seed: of the new weights, the rows of the share, the batches and the dropout, each a stream
            of its own.
        device: where to train.
        vectors: see :func:`start`.
        tick: called after each epoch.

    Returns:
        A row an epoch: epoch, train_loss, validation_loss and validation_accuracy, and
        test_accuracy, NaN except in the last epoch: the test part is read once.

    Raises:
        UserError: ``share`` out of range, or see :func:`textmetric.training.loop.fit`.
    """
    encoder, head = start(corpus, source, tanh=tanh, model=model, seed=seed, vectors=vectors)
    of_tokens = not isinstance(encoder, FrozenEncoder)
    if of_tokens:
        encoder.weight.requires_grad_(train.vectors == "tuned")
    encoder.to(device)
    head.to(device)
    parts = {part: getattr(corpus, part) for part in PARTS}
    frozen = tuning == "frozen"
    if frozen and of_tokens and source is not None:
        parts = _known_only(parts, shared_tokens(corpus.vocabulary, source.vocabulary))
    if frozen:
        parts = _embedded(encoder, parts)
    curve: list[dict[str, float]] = []

    def record(epoch: Epoch) -> None:
        head.eval()
        loss, accuracy = _measure(encoder, head, parts["validation"])
        last = epoch.epoch == settings.epochs
        curve.append(
            {
                "epoch": epoch.epoch,
                "train_loss": epoch.loss,
                "validation_loss": loss,
                "validation_accuracy": accuracy,
                "test_accuracy": _measure(encoder, head, parts["test"])[1] if last else np.nan,
            }
        )
        head.train()
        tick()

    data = parts["train"].view(epoch_rows(corpus.train.labels, share, seed))
    fit(
        encoder,
        head,
        data,
        train.model_copy(update={"epochs": settings.epochs, "lr": settings.lr}),
        sampler="shuffled",
        seed=seed,
        batches=WindowSampler(
            "shuffled",
            data.labels,
            train.batch_size,
            seed,
            train.window,
            stream=Stream.TRANSFER_BATCHES,
        ),
        frozen=frozen,
        on_epoch=record,
    )
    return curve


def start(
    corpus: TokenizedCorpus,
    source: TrainedModel | None,
    *,
    tanh: bool,
    model: Model,
    seed: int,
    vectors: Float32 | TextVectors | None = None,
) -> tuple[BagEncoder, TransferHead]:
    """The encoder and the head that the training starts from, on the CPU.

    Vectors of tokens that both vocabularies know, and the projection if there is one, are the
    source's. The target's other tokens start like those of any new encoder; with ``source=None``
    all do. Vectors of texts are always the target's.

    Args:
        corpus: the target.
        source: a model trained on the source corpus, or None.
        tanh: whether the head ends in tanh.
        model: the encoder's shape if there is no source.
        seed: of the new weights and the dropout; the head's weights depend on nothing else.
        vectors: see :func:`.start_encoder`.
    """
    torch.manual_seed(seed_of(seed, Stream.TRANSFER_WEIGHTS))
    if source is not None:
        model = model.model_copy(update={"dim": source.encoder.dim, "layer": source.encoder.layer})
    head = TransferHead(model.dim, len(corpus.label_names), tanh=tanh, seed=seed)
    encoder = start_encoder(model, corpus, vectors)
    if source is not None:
        with torch.no_grad():
            if not isinstance(encoder, FrozenEncoder):
                known = shared_tokens(corpus.vocabulary, source.vocabulary)
                rows = torch.from_numpy(np.flatnonzero(known))
                encoder.weight[rows] = source.encoder.weight[torch.from_numpy(known[known > 0])]
            if encoder.projection is not None and source.encoder.projection is not None:
                encoder.projection.load_state_dict(source.encoder.projection.state_dict())
    return encoder, head


def epoch_rows(labels: Integers, share: float, seed: int) -> Int64:
    """(n,) the train rows of an epoch: those of a share, repeated to the full n.

    Every share then has the same number of steps. If the share has k rows, each row comes ⌊n / k⌋
    or ⌈n / k⌉ times, and the extra ones are spread over all labels.

    Args:
        labels: (n,) label id of every train row.
        share: in (0, 1], see :func:`textmetric.sampling.draws.share_of_rows`.
        seed: of the training; the rows are its stream ``TRANSFER_ROWS``.

    Raises:
        UserError: ``share`` out of range.
    """
    rows = share_of_rows(labels, share, seed_of(seed, Stream.TRANSFER_ROWS))
    # np.resize would repeat the first labels more often if the rows are sorted by label.
    return rows[np.arange(len(labels)) * len(rows) // max(1, len(labels))]


def _known_only(parts: dict[str, LabelledTokens], known: Int64) -> dict[str, LabelledTokens]:
    """Drop the tokens that the source does not know: never learnt, they would be noise."""
    keep = np.where(known > 0, np.arange(len(known)), 0).astype(np.int32)
    return {
        name: LabelledTokens(part.tokens.remap(keep), part.labels) for name, part in parts.items()
    }


def _embedded(encoder: BagEncoder, parts: dict[str, LabelledTokens]) -> dict[str, LabelledTokens]:
    """Embed every text once, for an encoder that is frozen.

    Each text becomes one token, whose vector in ``encoder`` is the text's embedding, so that the
    loop of all other trainings can be used.
    """
    with one_thread():
        table = np.concatenate([encoder.embed(part.tokens) for part in parts.values()])
    encoder.weight = nn.Parameter(
        torch.from_numpy(table).to(encoder.weight.device), requires_grad=False
    )
    encoder.drop_projection()
    embedded, first = {}, 0
    for name, part in parts.items():
        ids = np.arange(first, first + len(part), dtype=np.int32)
        embedded[name] = LabelledTokens(RaggedTokens.one_each(ids), part.labels)
        first += len(part)
    return embedded


def shared_tokens(target: Vocabulary, source: Vocabulary) -> Int64:
    """(size of target,) the source's id of each of the target's tokens, 0 if it has none."""
    ids = source.ids
    return np.array([ids.get(token, 0) for token in target.tokens], dtype=np.int64)


@torch.no_grad()
def _measure(encoder: BagEncoder, head: TransferHead, part: LabelledTokens) -> tuple[float, float]:
    if len(part) == 0:
        return float("nan"), float("nan")
    with one_thread():
        device = encoder.weight.device
        logits = head.logits(torch.from_numpy(encoder.embed(part.tokens)).to(device))
        labels = torch.from_numpy(np.array(part.labels, dtype=np.int64)).to(device)
        loss = functional.cross_entropy(logits, labels)
        return float(loss), float((logits.argmax(dim=1) == labels).float().mean())
