from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.losses import checks
from tests.losses.checks import assert_close, mean, objective, uneven_batch
from tests.tiny import corpus, trained
from textmetric.encoders import BagEncoder
from textmetric.losses.magnet import ClusterIndex, k_means
from textmetric.params import Train
from textmetric.sampling.batches import steps_per_epoch
from textmetric.training.loop import fit


def twin(
    rows: list[list[float]], labels: list[int], clusters: list[int], alpha: float = 1.0
) -> tuple[float, float, float]:
    """The loss, the share of active rows and the variance, by plain loops."""
    means, class_of = {}, {}
    for cluster in set(clusters):
        members = [i for i in range(len(rows)) if clusters[i] == cluster]
        means[cluster] = [mean([rows[i][k] for i in members]) for k in range(4)]
        class_of[cluster] = labels[members[0]]
    own = [math.dist(row, means[cluster]) ** 2 for row, cluster in zip(rows, clusters, strict=True)]
    variance = sum(own) / (len(rows) - 1)
    losses = []
    for row, label, distance in zip(rows, labels, own, strict=True):
        impostors = sum(
            math.exp(-(math.dist(row, m) ** 2) / (2 * variance))
            for cluster, m in means.items()
            if class_of[cluster] != label
        )
        losses.append(max(0.0, distance / (2 * variance) + alpha + math.log(impostors)))
    return mean(losses), mean([float(x > 0) for x in losses]), variance


def with_clusters(clusters: list[int] | None, **params: Any) -> Any:
    """The objective, with the clusters of the rows that it will get."""
    loss = objective("magnet", **params)
    if clusters is not None:
        index = loss.batches(np.zeros(4, np.int32), 4, 0)
        index.batch = np.array(clusters)
    return loss


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("sizes", [(5, 4, 2, 1), (8, 8), (1, 6)])
@pytest.mark.parametrize("clustered", [True, False], ids=["clusters", "classes"])
def test_equals_the_plain_loops(
    seed: int, alpha: float, sizes: tuple[int, ...], clustered: bool
) -> None:
    embeddings, labels = uneven_batch(seed, sizes)
    # two clusters a class, where there are two rows
    clusters = [2 * label + i % 2 for i, label in enumerate(labels.tolist())] if clustered else None
    loss = with_clusters(clusters, alpha=alpha)
    expected, active, variance = twin(
        embeddings.tolist(), labels.tolist(), clusters or labels.tolist(), alpha
    )
    assert_close(loss(embeddings, labels), expected)
    assert loss.log["active_fraction"].item() == pytest.approx(active)
    assert loss.log["variance"].item() == pytest.approx(variance)


@pytest.mark.parametrize("clustered", [True, False], ids=["clusters", "classes"])
def test_the_gradient_is_right(clustered: bool) -> None:
    embeddings, labels = uneven_batch(0)
    clusters = [2 * label + i % 2 for i, label in enumerate(labels.tolist())] if clustered else None
    assert with_clusters(clusters)(embeddings, labels) > 0
    assert torch.autograd.gradcheck(
        lambda e: with_clusters(clusters)(e, labels), (embeddings.requires_grad_(),)
    )


def test_clusters_are_those_of_one_batch_only() -> None:
    embeddings, labels = uneven_batch(0)
    loss = with_clusters(list(range(12)))
    first, second = loss(embeddings, labels), loss(embeddings, labels)
    assert first.item() != pytest.approx(second.item())
    assert second.item() == with_clusters(None)(embeddings, labels).item()


def test_degenerate_batches_have_a_finite_loss_and_gradient() -> None:
    checks.assert_degenerate_batches_are_finite("magnet", lambda labels: len(set(labels)) > 1)


def test_order_and_precision_do_not_matter_and_nan_is_not_hidden() -> None:
    checks.assert_the_order_of_rows_does_not_matter("magnet")
    checks.assert_single_precision_is_near("magnet")
    checks.assert_a_diverged_batch_gives_nan("magnet")


@pytest.mark.parametrize("scale", [1e-6, 0.1, 1e3])
def test_the_scale_of_the_embeddings_does_not_matter(scale: float) -> None:
    embeddings, labels = uneven_batch(3)
    plain = objective("magnet")(embeddings, labels)
    assert objective("magnet")(embeddings * scale, labels).item() == pytest.approx(plain.item())


def test_classes_far_apart_relative_to_their_variance_have_no_loss() -> None:
    embeddings, labels = uneven_batch(0, (16, 16, 16, 16))
    loss = objective("magnet")
    assert loss(embeddings + 30 * torch.eye(4, dtype=torch.float64)[labels], labels) == 0
    assert loss.log["active_fraction"] == 0
    assert loss(embeddings, labels) > 0


def test_a_collapsed_batch_loses_alpha_plus_the_logarithm_of_the_impostors() -> None:
    labels = torch.arange(64) % 4
    value = objective("magnet", alpha=1.5)(torch.ones(64, 4), labels)
    assert value.item() == pytest.approx(1.5 + math.log(3))


def test_far_impostors_do_not_underflow() -> None:
    # Exponents of −5000: their sum is 0 to single precision, its logarithm is not.
    rows = torch.tensor([[0.0], [0.02], [100.0], [100.02]])
    labels = torch.tensor([0, 0, 1, 1])
    loss = objective("magnet")
    loss.params = loss.params.model_copy(update={"alpha": 4e7})  # beyond the bound
    value = loss(rows, labels)
    variance = 4 * 0.01**2 / 3
    nearest = [100.01, 99.99, 99.99, 100.01]
    expected = mean([0.5 * 0.01**2 / variance + 4e7 - d**2 / (2 * variance) for d in nearest])
    assert value.item() == pytest.approx(expected, rel=1e-2)
    assert math.isfinite(value)


def test_the_log_holds_mean_distances_of_pairs() -> None:
    embeddings, labels = uneven_batch(0)
    loss = objective("magnet")
    loss(embeddings, labels)
    checks.assert_distances_are_logged(loss, embeddings.tolist(), labels.tolist())


# --- clusters and batches ---------------------------------------------------------------------


def in_blobs(
    classes: int, blobs: int, rows: int, dim: int = 6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings in tight blobs, several a class; their labels; their blobs."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(classes * blobs, dim)) * 10
    blob = rng.permutation(np.repeat(np.arange(classes * blobs), rows))
    embeddings = centres[blob] + 0.01 * rng.normal(size=(len(blob), dim))
    return embeddings.astype(np.float32), (blob // blobs).astype(np.int32), blob


def test_k_means_finds_blobs_and_their_means() -> None:
    embeddings, _, blob = in_blobs(1, 3, 20)
    found, means = k_means(embeddings, 3, np.random.default_rng(0))
    assert len({(int(a), int(b)) for a, b in zip(found, blob, strict=True)}) == 3
    for cluster in range(3):
        members = embeddings[found == cluster].astype(np.float64)
        np.testing.assert_allclose(means[cluster], members.mean(0))


@pytest.mark.parametrize("seed", range(5))
def test_k_means_puts_every_row_in_the_cluster_of_its_nearest_mean_and_leaves_none_empty(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(60, 2)).astype(np.float32)
    found, means = k_means(rows, 5, rng)
    squares = ((rows[:, None] - means) ** 2).sum(2)
    assert (squares.argmin(1) == found).all()
    assert (np.bincount(found, minlength=5) > 0).all()


def test_k_means_depends_on_the_generator_alone() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)

    def run(seed: int) -> tuple[bytes, bytes]:
        found, means = k_means(rows, 4, np.random.default_rng(seed))
        return found.tobytes(), means.tobytes()

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize(
    ("rows", "clusters"),
    [(np.zeros((7, 3)), 1), (np.eye(2).repeat(4, 0), 2), (np.ones((1, 2)), 1), (np.eye(5), 3)],
    ids=["equal", "two points", "one row", "different"],
)
def test_k_means_has_no_more_clusters_than_different_rows(rows: np.ndarray, clusters: int) -> None:
    found, means = k_means(rows.astype(np.float32), 3, np.random.default_rng(0))
    assert len(means) == len(set(found.tolist())) == clusters


def index_of(
    embeddings: np.ndarray, labels: np.ndarray, batch_size: int = 64, seed: int = 0, **params: Any
) -> ClusterIndex:
    index = objective("magnet", **params).batches(labels, batch_size, seed)
    index.refresh(embeddings)
    return index


@pytest.mark.parametrize(
    ("classes", "blobs", "batch_size", "clusters"),
    [(4, 3, 64, 8), (2, 3, 64, 4), (3, 3, 16, 4), (20, 2, 64, 8), (4, 3, 4, 2), (4, 3, 30, 7)],
)
def test_a_batch_is_a_seed_cluster_and_its_nearest_impostors(
    classes: int, blobs: int, batch_size: int, clusters: int
) -> None:
    embeddings, labels, _ = in_blobs(classes, blobs, 30)
    index = index_of(embeddings, labels, batch_size, clusters=blobs)
    # k-means++ may join two blobs, so the expected clusters are those of the index.
    for batch in index.epoch():
        assert len(batch) == batch_size
        assert index.batch is not None
        assert np.array_equal(index.clusters[batch], index.batch)
        assert np.array_equal(index.classes[index.batch], labels[batch])
        met, counts = np.unique(index.batch, return_counts=True)
        assert len(met) == clusters
        assert counts.max() - counts.min() <= 1
        seed = index.batch[0]
        impostors = np.flatnonzero(index.classes != index.classes[seed])
        distances = np.linalg.norm(index.means[impostors] - index.means[seed], axis=1)
        nearest = impostors[np.argsort(distances)][: clusters - 1]
        assert set(met) == {seed, *nearest}


def test_an_epoch_has_the_usual_number_of_steps_and_seeds_come_equally_often() -> None:
    embeddings, labels, _ = in_blobs(4, 3, 160)
    index = index_of(embeddings, labels)
    seeds = []
    for _ in index.epoch():
        assert index.batch is not None
        seeds.append(int(index.batch[0]))
    assert len(seeds) == steps_per_epoch(4 * 3 * 160, 64) == 30
    counts = np.bincount(seeds, minlength=len(index.classes))
    assert counts.max() - counts.min() <= 1


def test_only_a_cluster_with_few_rows_is_drawn_with_repetition() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [100, 3]).astype(np.int32)
    embeddings = rng.normal(size=(103, 4)).astype(np.float32)
    index = index_of(embeddings, labels, 32, clusters=1)
    for batch in index.epoch():
        large, small = batch[labels[batch] == 0], batch[labels[batch] == 1]
        assert len(set(large.tolist())) == len(large) == 16
        assert set(small.tolist()) == {100, 101, 102}


def test_a_single_class_gives_batches_of_one_cluster() -> None:
    rng = np.random.default_rng(0)
    index = index_of(rng.normal(size=(40, 4)).astype(np.float32), np.zeros(40, np.int32), 8)
    for batch in index.epoch():
        assert len(batch) == 8
        assert len(set(index.clusters[batch].tolist())) == 1


def test_clusters_and_batches_depend_on_the_seed_alone() -> None:
    embeddings, labels, _ = in_blobs(4, 3, 30)

    def drawn(seed: int) -> list[list[int]]:
        index = index_of(embeddings, labels, seed=seed)
        return [batch.tolist() for batch in index.epoch()]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_training_refreshes_the_clusters_before_every_epoch() -> None:
    loss, data = objective("magnet"), corpus().train
    torch.manual_seed(0)
    encoder, seen = BagEncoder(27, 4), []

    def note(epoch: object) -> None:
        seen.append(loss._index.clusters.copy())
        assert loss._index.batch is None  # the last batch's clusters have been used

    fit(
        encoder, loss, data, Train(epochs=6, batch_size=12), sampler="shuffled", seed=0,
        on_epoch=note,
    )  # fmt: skip
    for clusters in seen:
        for cluster in set(clusters.tolist()):
            assert len(set(data.labels[clusters == cluster].tolist())) == 1
    assert any(not np.array_equal(seen[0], later) for later in seen[1:])


def test_training_separates_classes_that_have_words_of_their_own() -> None:
    # One cluster a class: several clusters of a class need not be near each other.
    _, curve, _ = trained("metric", {"name": "magnet", "clusters": 1}, epochs=12)
    assert curve[-1]["validation_map_at_r"] == 1
    assert curve[-1]["loss"] < curve[0]["loss"]
