"""What every objective of the registry guarantees."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from annotated_types import Ge, Gt, Le, Lt

from textmetric.losses import OBJECTIVES, ClassificationObjective, Objective, build, class_of
from textmetric.schema import Section

NAMES = [(family, name) for family, names in OBJECTIVES.items() for name in names]
EVERY = pytest.mark.parametrize(("family", "name"), NAMES, ids=[name for _, name in NAMES])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])

# Dim, classes and rows are all different, so that no axis is mistaken for another.
DIM, CLASSES = 6, 5

# Objectives that draw at random for each place of the batch: moved rows get other draws.
DRAWS_BY_PLACE = {
    "dvml": "draws the variation of a row",
    "triplet": "pairs without a semi-hard negative draw a random one",
}
# Objectives that use the place of a row in the batch.
TOLD_BY_PLACE = {
    "inverse_cloze": "the second half of the rows are what the first leave of their texts",
    "invariant_spreading": "the second half of the rows are copies of the first",
    "prototypical": "the first rows of a class are its support",
}

LABELS = {
    "one row": [3],
    "two classes of one row": [0, 1],
    "one pair": [2, 2],
    "one class": [4] * 9,
    "all singletons": [0, 1, 2, 3, 4],
    "one negative": [1] * 8 + [0],
    "uneven": [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4],
}
KINDS = ["random", "duplicates", "all equal", "zero vectors", "one zero vector", "tiny"]


def objective(
    family: str,
    name: str,
    dtype: torch.dtype = torch.float64,
    *,
    classes: int = CLASSES,
    weights: int = 0,
) -> Objective:
    torch.manual_seed(weights)
    return build(family, {"name": name}, dim=DIM, classes=classes, seed=3).to(dtype)  # type: ignore[arg-type]


def batch(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes of 8, 6, 4, 3 and 1 rows, in no order, that overlap."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 8 + [1] * 6 + [2] * 4 + [3] * 3 + [4])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    embeddings = torch.randn(len(labels), DIM, dtype=torch.float64, generator=generator)
    return (embeddings * 0.5 + torch.eye(DIM, dtype=torch.float64)[labels]).to(dtype), labels


def degenerate(kind: str, rows: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows)
    drawn = torch.randn(rows, DIM, dtype=dtype, generator=generator)
    return {
        "random": drawn,
        "duplicates": drawn[torch.arange(rows) // 2],
        "all equal": torch.ones_like(drawn),
        "zero vectors": torch.zeros_like(drawn),
        "one zero vector": drawn.index_fill(0, torch.tensor([0]), 0.0),
        "tiny": drawn * 1e-25,  # squares of these are 0 in single precision
    }[kind]


def step(
    module: Objective, embeddings: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and its gradient by the embeddings; each parameter keeps its own in ``grad``."""
    module.zero_grad()
    rows = embeddings.clone().requires_grad_()
    loss = module(rows, labels)
    loss.backward()
    assert rows.grad is not None
    return loss.detach(), rows.grad


def content(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()


@EVERY
@DTYPES
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_degenerate_batches_have_a_finite_loss_and_gradient(
    family: str, name: str, labels: list[int], dtype: torch.dtype
) -> None:
    for kind in KINDS:
        module = objective(family, name, dtype)
        embeddings = degenerate(kind, len(labels), dtype)
        loss, gradient = step(module, embeddings, torch.tensor(labels))
        assert torch.isfinite(loss), kind
        assert torch.isfinite(gradient).all(), kind
        for key, parameter in module.named_parameters():
            if parameter.grad is not None:
                assert torch.isfinite(parameter.grad).all(), (kind, key)


@EVERY
@DTYPES
def test_a_corpus_of_one_class_has_a_finite_loss_and_gradient(
    family: str, name: str, dtype: torch.dtype
) -> None:
    module = objective(family, name, dtype, classes=1)
    embeddings, _ = batch(dtype)
    loss, gradient = step(module, embeddings, torch.zeros(len(embeddings), dtype=torch.int64))
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    for parameter in module.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


@EVERY
def test_a_single_row_has_no_loss(family: str, name: str) -> None:
    module = objective(family, name)
    if list(module.parameters()):
        pytest.skip("compares a row with what it has learnt")
    loss, gradient = step(module, torch.randn(1, DIM, dtype=torch.float64), torch.tensor([0]))
    assert loss.item() == 0
    assert not gradient.any()


@EVERY
@DTYPES
def test_an_ordinary_batch_has_a_scalar_loss_and_gradients(
    family: str, name: str, dtype: torch.dtype
) -> None:
    module = objective(family, name, dtype)
    loss, gradient = step(module, *batch(dtype))
    assert loss.ndim == 0
    assert loss.dtype == gradient.dtype == dtype
    assert gradient.any()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.any(), key
        assert parameter.dtype == dtype, key


LIMITS = [
    (family, name, key, limit)
    for family, name in NAMES
    for key, field in class_of(name).Params.model_fields.items()
    for limit in field.metadata
    if isinstance(limit, (Ge, Gt, Le, Lt))
]


@pytest.mark.parametrize(
    ("family", "name", "key", "limit"),
    LIMITS,
    ids=["-".join(map(str, case[1:])) for case in LIMITS],
)
def test_every_parameter_works_at_its_limits(
    family: str, name: str, key: str, limit: Ge | Gt | Le | Lt
) -> None:
    value: Any
    match limit:
        case Ge():
            value = limit.ge
        case Gt():
            value = limit.gt + 0.01  # type: ignore[operator]
        case Le():
            value = limit.le
        case Lt():
            value = limit.lt - 0.01  # type: ignore[operator]
    torch.manual_seed(0)
    module = build(family, {"name": name, key: value}, dim=DIM, classes=CLASSES)  # type: ignore[arg-type]
    loss, gradient = step(module.double(), *batch())
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@EVERY
def test_single_precision_is_near_double(family: str, name: str) -> None:
    results = []
    for dtype in (torch.float32, torch.float64):
        module = objective(family, name, dtype)
        module.load_state_dict(objective(family, name, torch.float32).state_dict())
        embeddings, labels = batch(torch.float32)
        results.append(step(module, embeddings.to(dtype), labels))
    # Exponents up to 50 times a cosine that is 1e-7 off, in sums of 22 terms.
    for single, double in zip(*results, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)


@EVERY
def test_the_order_of_rows_does_not_matter(family: str, name: str) -> None:
    if name in DRAWS_BY_PLACE:
        pytest.skip(DRAWS_BY_PLACE[name])
    if name in TOLD_BY_PLACE:
        pytest.skip(TOLD_BY_PLACE[name])
    embeddings, labels = batch()
    loss, gradient = step(objective(family, name), embeddings, labels)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        order = torch.randperm(len(labels), generator=generator)
        moved, moved_gradient = step(objective(family, name), embeddings[order], labels[order])
        # Sums of at most 22³ terms by another order, times exponents of at most 50.
        torch.testing.assert_close(moved, loss, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(moved_gradient, gradient[order], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", DRAWS_BY_PLACE)
def test_only_objectives_that_draw_are_exempt(name: str) -> None:
    embeddings, labels = batch()
    module = objective("metric", name)
    assert len({module(embeddings, labels).item() for _ in range(10)}) > 1


@pytest.mark.parametrize("name", TOLD_BY_PLACE)
def test_only_objectives_that_use_the_place_of_a_row_are_exempt(name: str) -> None:
    embeddings, labels = batch()
    moved = objective("metric", name)(embeddings.roll(5, 0), labels.roll(5))
    assert moved.item() != pytest.approx(objective("metric", name)(embeddings, labels).item())


@EVERY
def test_the_numbering_of_the_classes_does_not_matter(family: str, name: str) -> None:
    embeddings, labels = batch()
    plain = objective(family, name)
    loss, gradient = step(plain, embeddings, labels)
    renamed = torch.tensor([2, 4, 1, 0, 3])  # class i is called renamed[i] from now on
    module = objective(family, name)
    for parameter in module.parameters():
        for axis in [axis for axis, size in enumerate(parameter.shape) if size == CLASSES]:
            # The weights of a class move with it.
            parameter.data = parameter.data.index_select(axis, renamed.argsort())
    found, found_gradient = step(module, embeddings, renamed[labels])
    torch.testing.assert_close(found, loss, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-10, atol=1e-11)


@EVERY
@DTYPES
def test_the_same_seed_gives_the_same_bytes(family: str, name: str, dtype: torch.dtype) -> None:
    def run() -> list[bytes]:
        module = objective(family, name, dtype)
        found = [content(tensor) for tensor in module.state_dict().values()]
        for _ in range(4):
            found += [content(tensor) for tensor in step(module, *batch(dtype))]
            found += [content(p.grad) for p in module.parameters() if p.grad is not None]
            found += [content(torch.as_tensor(value)) for value in module.log.values()]
        return found

    assert run() == run()


@EVERY
def test_a_step_does_not_touch_the_global_generator(family: str, name: str) -> None:
    module = objective(family, name)
    before = torch.get_rng_state()
    step(module, *batch())
    assert torch.equal(torch.get_rng_state(), before)


@EVERY
def test_the_batch_is_not_changed(family: str, name: str) -> None:
    embeddings, labels = batch()
    copies = embeddings.clone(), labels.clone()
    module = objective(family, name)
    for _ in range(3):
        loss = module(embeddings.requires_grad_(), labels)
        loss.backward()
    assert torch.equal(embeddings, copies[0])
    assert torch.equal(labels, copies[1])
    assert embeddings._version == labels._version == 0


@EVERY
def test_the_state_survives_a_round_trip(family: str, name: str) -> None:
    embeddings, labels = batch()
    module = objective(family, name)
    optimizer_step(module, embeddings, labels)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    copy = objective(family, name, weights=1)
    copy.load_state_dict(torch.load(file, weights_only=True))
    for each in (module, copy):
        if isinstance(getattr(each, "generator", None), torch.Generator):
            each.generator.manual_seed(0)  # type: ignore[union-attr, operator]
    for one, other in zip(
        step(module, embeddings, labels), step(copy, embeddings, labels), strict=True
    ):
        assert content(one) == content(other)
    if isinstance(module, ClassificationObjective) and isinstance(copy, ClassificationObjective):
        assert content(module.logits(embeddings)) == content(copy.logits(embeddings))


def optimizer_step(module: Objective, embeddings: torch.Tensor, labels: torch.Tensor) -> None:
    step(module, embeddings, labels)
    with torch.no_grad():
        for parameter in module.parameters():
            assert parameter.grad is not None
            parameter -= 0.1 * parameter.grad


@EVERY
def test_the_log_holds_detached_scalars_whatever_the_batch(family: str, name: str) -> None:
    module = objective(family, name)
    step(module, *batch())
    names = set(module.log)
    for value in module.log.values():
        assert isinstance(value, torch.Tensor)
        assert value.ndim == 0
        assert not value.requires_grad
        assert math.isfinite(value)
    step(module, torch.randn(1, DIM, dtype=torch.float64), torch.tensor([0]))
    assert set(module.log) == names


@EVERY
def test_a_diverged_batch_gives_nan_rather_than_a_number(family: str, name: str) -> None:
    embeddings, labels = batch()
    embeddings[3] = math.nan
    assert math.isnan(objective(family, name)(embeddings, labels).detach())


@EVERY
def test_a_head_predicts_from_any_batch(family: str, name: str) -> None:
    module = objective(family, name)
    if not isinstance(module, ClassificationObjective):
        assert family == "metric"
        return
    embeddings, _ = batch()
    scores = module.logits(embeddings)
    assert scores.shape == (len(embeddings), CLASSES)
    # A row's scores are its own.
    torch.testing.assert_close(
        torch.cat([module.logits(row) for row in embeddings.split(1)]), scores, rtol=1e-12, atol=0
    )


@EVERY
def test_parameters_are_described_and_frozen(family: str, name: str) -> None:
    schema: Any = type(objective(family, name)).Params
    assert issubclass(schema, Section)
    values = schema().model_dump()
    assert schema(**values) == schema()
    assert all(isinstance(value, (bool, int, float, str)) for value in values.values())
