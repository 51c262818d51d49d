"""The compiled step against the step by torch alone, which defines it."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests.tiny import corpus
from textmetric import parallel
from textmetric.encoders import BagEncoder, build_encoder
from textmetric.losses import OBJECTIVES, Objective, build, family_of
from textmetric.losses.distances import Distance
from textmetric.losses.mining import Miner
from textmetric.params import Model, Train
from textmetric.text import LabelledTokens, RaggedTokens
from textmetric.training.compiled_step import CompiledStep
from textmetric.training.loop import fit, warm_up
from textmetric.training.step import OPTIMIZERS, TorchStep

ROOT = Path(__file__).parents[2]
NAMES = [name for names in OBJECTIVES.values() for name in names]
CASES = [
    *({"name": name} for name in NAMES if name != "triplet"),
    *({"name": "triplet", "miner": miner} for miner in get_args(Miner)),
    {"name": "n_pair", "pairs": "one_per_class"},
    {"name": "dvml", "base": "n_pair"},
]
LAYERS = pytest.mark.parametrize("layer", ["bag", "linear"])
OBJECTIVE = pytest.mark.parametrize("params", CASES, ids=lambda params: "-".join(params.values()))
FEW = [{"name": "cross_entropy"}, {"name": "triplet", "miner": "all"}, {"name": "dvml"}]
"""With a head, with nothing of its own to learn, with layers of its own."""
WAYS = [
    *((params, layer, "sgd") for params in CASES for layer in ("bag", "linear")),
    *((params, layer, optimizer) for params in FEW for layer in ("bag", "linear")
      for optimizer in OPTIMIZERS if optimizer != "sgd"),
]  # fmt: skip
"""An optimiser sees gradients alone, so it need not meet every objective."""
WAY = pytest.mark.parametrize(
    ("params", "layer", "optimizer"),
    WAYS,
    ids=["-".join([optimizer, layer, *params.values()]) for params, layer, optimizer in WAYS],
)


def objective(params: dict[str, Any], classes: int = 3, dim: int = 8, seed: int = 0) -> Objective:
    return build(family_of(params["name"]), params, dim=dim, classes=classes, seed=seed)


def knows_no_shift(params: dict[str, Any]) -> bool:
    """Does the loss stay as it is when all rows are moved by the same vector?"""
    rows, labels = batch(12, 3, 8, torch.float64)
    losses = [
        float(objective(params, seed=1).double()(rows + shift, torch.tensor(labels)).detach())
        for shift in (0.0, torch.arange(8))
    ]
    return losses[0] == pytest.approx(losses[1], rel=1e-9)


def without_twins(data: LabelledTokens) -> np.ndarray:
    """Rows no two of which have the same tokens in another order.

    Such texts are equal except for the rounding of a sum, by which distances that should be 0
    have a direction.
    """
    texts = [tuple(sorted(data.tokens.take([row]).ids)) for row in range(len(data.labels))]
    return np.array([row for row, text in enumerate(texts) if text not in texts[:row] or not text])


def with_empty_texts(data: LabelledTokens) -> LabelledTokens:
    """Texts 0 and 5 lose their tokens to those that follow."""
    offsets = data.tokens.offsets.copy()
    offsets[1] = 0
    offsets[6] = offsets[5]
    return LabelledTokens(RaggedTokens(data.tokens.ids, offsets), data.labels)


def pair(
    params: dict[str, Any], layer: str, optimizer: str, dtype: torch.dtype, frozen: bool = False
) -> list[TorchStep | CompiledStep]:
    """The step by torch and the compiled one, both at the same start."""
    data, steps = with_empty_texts(corpus().train), list[TorchStep | CompiledStep]()
    for kind in (TorchStep, CompiledStep):
        torch.manual_seed(3)
        encoder = BagEncoder(27, 8, layer).to(dtype)  # type: ignore[arg-type]
        head = objective(params, seed=1).to(dtype)
        extra = {"batch_size": 12} if kind is CompiledStep else {}
        steps.append(kind(encoder, head, data, optimizer, frozen=frozen, **extra))
    return steps


def assert_they_train_alike(
    steps: list[TorchStep | CompiledStep], params: dict[str, Any], batches: int, tolerance: float
) -> None:
    """Train both on the same batches, and hold all that they change to each other at each."""
    rng = np.random.default_rng(0)
    torch_step, compiled = steps
    choice, shifted = without_twins(with_empty_texts(corpus().train)), knows_no_shift(params)
    assert shifted or params["name"] != "triplet"
    for number in range(batches):
        # with repetition, as a balanced batch of a small class has it; and batches of 1 to 12
        rows = rng.choice(choice, size=1 + (7 * number) % 12)
        lr = 0.2 * (1 - number / batches)
        close = {"rtol": tolerance, "atol": tolerance}
        assert compiled(rows, lr) == pytest.approx(
            float(torch_step(rows, lr)), rel=tolerance, abs=tolerance
        )
        embeddings = [step.embeddings for step in steps]
        states = [{**step.encoder.state_dict(), **step.objective.state_dict()} for step in steps]
        if shifted:
            # Distances do not change with a shift of all rows: the bias has no gradient but the
            # rounding of a sum that is 0, of which Adagrad and Adam make steps of some size.
            embeddings = [rows - rows.mean(0) for rows in embeddings]
            states = [
                {k: v for k, v in state.items() if k != "projection.bias"} for state in states
            ]
        torch.testing.assert_close(*embeddings, **close)
        torch.testing.assert_close(*states, **close)
        for name, value in torch_step.objective.log.items():
            ours = float(compiled.objective.log[name])
            assert ours == pytest.approx(float(value), nan_ok=True, rel=1e-6, abs=tolerance)


@WAY
def test_trains_as_torch_does_step_by_step(
    params: dict[str, Any], layer: str, optimizer: str
) -> None:
    # float64 sums of some dozen numbers in another order, over 24 steps. The first steps of Adagrad
    # and Adam divide a gradient by itself: where it nearly cancels, its rounding is amplified.
    tolerance = 1e-9 if optimizer == "sgd" else 1e-7
    assert_they_train_alike(
        pair(params, layer, optimizer, torch.float64), params, batches=24, tolerance=tolerance
    )


@OBJECTIVE
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_trains_as_torch_does_in_single_precision(params: dict[str, Any], optimizer: str) -> None:
    # A rounding of 6e-8 in a gradient; a step of 0.2 divides it by the gradient itself the first
    # time a row is met (Adagrad), and 6 steps add up. Adam would divide by less.
    assert_they_train_alike(
        pair(params, "linear", optimizer, torch.float32), params, batches=6, tolerance=2e-4
    )


@OBJECTIVE
@LAYERS
def test_a_frozen_encoder_stays_and_the_rest_trains_as_torch_does(
    params: dict[str, Any], layer: str
) -> None:
    steps = pair(params, layer, "adagrad", torch.float64, frozen=True)
    if not list(steps[0].objective.parameters()):
        pytest.skip("has nothing of its own to learn")
    before = steps[1].encoder.weight.clone()
    assert_they_train_alike(steps, params, batches=6, tolerance=1e-9)
    assert torch.equal(steps[1].encoder.weight, before)


@LAYERS
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_objective_without_a_compiled_form_trains_by_autograd(
    layer: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"name": "cross_entropy"}
    steps = pair(params, layer, optimizer, torch.float64)
    monkeypatch.setattr(steps[1].objective, "loss_and_gradient", lambda *given: None)
    assert_they_train_alike(steps, params, batches=12, tolerance=1e-9)


@OBJECTIVE
def test_a_whole_training_equals_torchs(params: dict[str, Any]) -> None:
    data, weights, curves = with_empty_texts(corpus().train), [], []
    data = data.take(without_twins(data))
    for plain in (False, True):
        torch.manual_seed(0)
        encoder, losses = BagEncoder(27, 8).double(), list[float]()
        fit(
            encoder, objective(params).double(), data,
            Train(epochs=3, batch_size=12, optimizer="sgd"),
            sampler="balanced", seed=0, plain=plain,
            on_epoch=lambda epoch, losses=losses: losses.append(epoch.loss),
        )  # fmt: skip
        weights.append(encoder.weight.detach())
        curves.append(losses)
    torch.testing.assert_close(*weights, rtol=1e-9, atol=1e-9)
    assert curves[0] == pytest.approx(curves[1])


# --- loss_and_gradient of every objective, against forward and autograd -----------------------


def by_autograd(
    module: Objective, rows: torch.Tensor, labels: torch.Tensor
) -> tuple[float, torch.Tensor, list[torch.Tensor | None]]:
    rows = rows.clone().requires_grad_()
    loss = module(rows, labels)
    loss.backward()
    assert rows.grad is not None
    return loss.item(), rows.grad, [parameter.grad for parameter in module.parameters()]


def values(module: Objective) -> list[np.ndarray]:
    return [parameter.detach().numpy() for parameter in module.parameters()]


def assert_as_by_autograd(
    params: dict[str, Any], rows: torch.Tensor, labels: list[int], tolerance: float
) -> None:
    classes = max(labels) + 1
    modules = []
    for _ in range(2):
        torch.manual_seed(0)
        modules.append(objective(params, classes=classes, dim=rows.shape[1]).to(rows.dtype))
    ids = torch.tensor(labels)
    loss, gradient, of_parameters = by_autograd(modules[0], rows, ids)
    if type(modules[1]).loss_and_gradient is Objective.loss_and_gradient:
        pytest.skip("trains by autograd alone")
    found = modules[1].loss_and_gradient(rows.numpy(), ids.numpy(), values(modules[1]))
    assert found is not None
    close = {"rtol": tolerance, "atol": tolerance}
    assert found.loss == pytest.approx(loss, rel=tolerance, abs=tolerance, nan_ok=True)
    if not math.isfinite(loss):
        return  # training ends here, whatever the gradient
    torch.testing.assert_close(torch.from_numpy(found.embeddings), gradient, **close)
    for ours, expected in zip(found.parameters, of_parameters, strict=True):
        assert ours is not None
        torch.testing.assert_close(torch.from_numpy(ours), expected, **close)
    assert modules[1].log.keys() == modules[0].log.keys()
    for name, value in modules[0].log.items():
        assert float(modules[1].log[name]) == pytest.approx(
            float(value), rel=max(tolerance, 1e-6), abs=tolerance, nan_ok=True
        )
    generators = [getattr(module, "generator", torch.Generator()) for module in modules]
    assert torch.equal(*(generator.get_state() for generator in generators))


def batch(rows: int, classes: int, dim: int, dtype: torch.dtype) -> tuple[torch.Tensor, list[int]]:
    generator = torch.Generator().manual_seed(rows)
    labels = torch.randint(classes, (rows,), generator=generator)
    embeddings = torch.randn(rows, dim, dtype=dtype, generator=generator)
    return embeddings * 0.3 + labels[:, None] * 0.2, labels.tolist()


@OBJECTIVE
@pytest.mark.parametrize("shape", [(64, 4, 32), (18, 3, 5), (7, 2, 1)])
def test_loss_and_gradient_are_those_of_autograd(
    params: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    assert_as_by_autograd(params, *batch(*shape, torch.float64), tolerance=1e-12)
    # sums of 64 numbers near 1 in single precision
    assert_as_by_autograd(params, *batch(*shape, torch.float32), tolerance=64 * 2.0**-23)


@pytest.mark.parametrize("miner", get_args(Miner))
@pytest.mark.parametrize("distance", get_args(Distance))
@pytest.mark.parametrize("reduction", ["mean", "active_mean"])
@pytest.mark.parametrize("normalize", [False, True])
def test_every_form_of_the_triplet_loss_is_that_of_autograd(
    miner: str, distance: str, reduction: str, normalize: bool
) -> None:
    params = {"name": "triplet", "miner": miner, "distance": distance, "reduction": reduction}
    for margin in (0.0, 0.15, 2.0):
        assert_as_by_autograd(
            params | {"normalize": normalize, "margin": margin},
            *batch(24, 3, 6, torch.float64),
            tolerance=1e-12,
        )


@OBJECTIVE
@pytest.mark.parametrize(
    "labels",
    [[0], [0, 1], [0, 0], [2] * 8, list(range(8)), [0, 0, 0, 0, 0, 0, 0, 1]],
    ids=["one row", "two singletons", "one pair", "one class", "singletons", "one negative"],
)
@pytest.mark.parametrize("kind", ["random", "equal", "zero", "tiny", "not a number", "infinite"])
def test_degenerate_batches_are_as_autograd_has_them(
    params: dict[str, Any], labels: list[int], kind: str
) -> None:
    rows = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(0))
    rows = {
        "random": rows,
        "equal": torch.ones_like(rows),
        "zero": torch.zeros_like(rows),
        "tiny": rows * 1e-25,  # squares of these are 0 in single precision
        "not a number": rows.index_fill(0, torch.tensor([len(rows) // 2]), math.nan),
        "infinite": rows.index_fill(0, torch.tensor([len(rows) // 2]), math.inf),
    }[kind]
    forms: list[dict[str, Any]] = [{}]
    if params["name"] == "triplet":
        forms = [
            {"distance": distance, "normalize": normalize}
            for distance in get_args(Distance)
            for normalize in (False, True)
        ]
    for form in forms:
        assert_as_by_autograd(params | form, rows, labels, tolerance=1e-6)


@OBJECTIVE
def test_ties_have_the_loss_of_the_definition_and_a_gradient_of_one_of_the_tied(
    params: dict[str, Any],
) -> None:
    if params["name"] != "triplet":
        pytest.skip("nothing is chosen among the rows")
    rng = np.random.default_rng(0)
    for _ in range(40):
        rows = torch.from_numpy(rng.integers(0, 4, size=(9, 1)).astype(np.float64))
        labels = torch.from_numpy(rng.integers(0, 3, size=9))
        modules = [objective(params | {"margin": 1}) for _ in range(2)]
        loss, gradient, _ = by_autograd(modules[0], rows, labels)
        found = modules[1].loss_and_gradient(rows.numpy(), labels.numpy(), [])
        assert found is not None
        assert found.loss == pytest.approx(loss)
        # on a line two tied rows pull the anchor the same way or from opposite sides
        assert found.embeddings.sum() == pytest.approx(float(gradient.sum()), abs=1e-12)
        assert {name: float(value) for name, value in modules[1].log.items()} == pytest.approx(
            {name: float(value) for name, value in modules[0].log.items()}, nan_ok=True
        )


def test_a_large_batch_of_all_triplets_is_exact() -> None:
    assert_as_by_autograd(
        {"name": "triplet", "miner": "all"}, *batch(512, 4, 8, torch.float64), tolerance=1e-11
    )


def test_a_label_that_is_no_class_is_an_error() -> None:
    head = objective({"name": "cross_entropy"}, classes=2)
    with pytest.raises(IndexError, match="outside the classes"):
        head.loss_and_gradient(np.zeros((1, 8), np.float32), np.array([2]), values(head))


def test_a_token_that_the_encoder_does_not_know_is_an_error() -> None:
    with pytest.raises(IndexError, match="outside 0 to 4"):
        CompiledStep(
            BagEncoder(5, 8), objective({"name": "triplet"}), corpus().train, "sgd", batch_size=4
        )


@pytest.mark.parametrize("name", ["triplet", "invariant_spreading"])
def test_the_first_and_the_last_token_are_known(name: str) -> None:
    texts = RaggedTokens(np.array([0, 4] * 4, dtype=np.int32), np.arange(0, 9, 2))
    data = LabelledTokens(texts, np.array([0, 0, 1, 1], dtype=np.int32))
    step = CompiledStep(BagEncoder(5, 8), objective({"name": name}), data, "sgd", batch_size=4)
    assert np.isfinite(step(np.arange(4), 0.1))


def test_a_batch_larger_than_announced_is_an_error() -> None:
    step = pair({"name": "triplet"}, "bag", "sgd", torch.float64)[1]
    with pytest.raises(ValueError, match="at most 12"):
        step(np.arange(13), 0.1)


# --- processes and caches ---------------------------------------------------------------------

TRAIN = """
import hashlib, sys
from tests.tiny import trained
for name in sys.argv[1:]:
    model = trained(name, epochs=2)[0]
    print(hashlib.sha256(model.encoder.weight.detach().numpy().tobytes()).hexdigest())
"""


def run(code: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_same_seed_same_bytes_in_two_processes() -> None:
    families = ("classification", "metric")
    first, second = run(TRAIN, *families), run(TRAIN, *families)
    assert first == second
    assert len(set(first.split())) == 2


def compiled_in_this_process(job: int, tick: Callable[[], None]) -> list[int]:
    from textmetric.training import kernels

    functions = [kernels.mean_bags, kernels.row_gradients, kernels.update_rows]
    counts = [len(function.signatures) for function in functions]  # type: ignore[attr-defined]
    encoder = BagEncoder(27, 8)
    fit(
        encoder, objective({"name": "triplet"}), corpus().train,
        Train(epochs=1, batch_size=12), sampler="shuffled", seed=job,
    )  # fmt: skip
    return [
        len(function.signatures) - count  # type: ignore[attr-defined]
        for function, count in zip(functions, counts, strict=True)
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_workers_find_everything_compiled() -> None:
    warm_up(BagEncoder(2, 8), objective({"name": "triplet"}, classes=2), Train())
    found = parallel.run(compiled_in_this_process, [0, 1], workers=2, progress=False)
    assert found == [[0, 0, 0]] * 2


@pytest.mark.parametrize("home", ["writable", "not writable"])
def test_a_checkout_that_cannot_be_written_trains_all_the_same(home: str, tmp_path: Path) -> None:
    for folder in ("textmetric", "tests"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    # A file where a folder would stand: permissions do not stop every user.
    for folder in ("textmetric", "textmetric/losses"):
        (tmp_path / folder / "__pycache__").touch()
    cache = tmp_path / "cache"
    if home == "not writable":
        cache.touch()
    environment = {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(tmp_path)}
    assert run(TRAIN, "metric", cwd=tmp_path, **environment) == run(TRAIN, "metric")
    assert cache.is_dir() == (home == "writable")
    if cache.is_dir():
        assert list(cache.rglob("*.nbi"))


def test_stages_that_do_not_train_import_no_compiler() -> None:
    stages = ("evaluate", "embed", "report", "objectives", "tokenize")
    code = f"import sys\nfor name in {stages}:\n    __import__('stages.' + name)\n"
    assert run(code + "    print(name, 'numba' in sys.modules)") == "".join(
        f"{name} False\n" for name in stages
    )


@pytest.mark.parametrize("tuned", [True, False])
@pytest.mark.parametrize("layer", ["linear", "layernorm", "mlp"])
@pytest.mark.parametrize("name", ["triplet", "cross_entropy", "norm_softmax"])
def test_wide_given_vectors_train_as_in_torch_tuned_or_frozen(
    name: str, layer: Any, tuned: bool
) -> None:
    params = {"name": name}
    data, steps = with_empty_texts(corpus().train), list[TorchStep | CompiledStep]()
    vectors = np.random.default_rng(0).normal(size=(25, 6)).astype(np.float32)
    for kind in (TorchStep, CompiledStep):
        torch.manual_seed(3)
        encoder = build_encoder(Model(dim=8, layer=layer), 27, vectors).double()
        encoder.weight.requires_grad_(tuned)
        extra = {"batch_size": 12} if kind is CompiledStep else {}
        steps.append(kind(encoder, objective(params, seed=1).double(), data, "adam", **extra))
    before = steps[0].encoder.state_dict()
    before = {key: value.clone() for key, value in before.items()}
    assert_they_train_alike(steps, params, batches=24, tolerance=1e-7)
    changed = {key for key, value in steps[1].encoder.state_dict().items()
               if not torch.equal(value, before[key])}  # fmt: skip
    assert ("weight" in changed) == tuned
    assert changed >= {key for key in before if key.startswith("projection")} - {"projection.bias"}
