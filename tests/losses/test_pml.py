from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import pytorch_metric_learning.losses
import torch

from tests.losses import checks
from tests.tiny import corpus
from textmetric import TextEmbedder
from textmetric.encoders import BagEncoder
from textmetric.errors import UserError
from textmetric.losses import build, describe, family_of, module_of, pml
from textmetric.params import Train
from textmetric.training.loop import fit

NEEDED: dict[str, dict[str, Any]] = {
    "RankedListLoss": {"margin": 0.5, "Tn": 10},
    "HistogramLoss": {"n_bins": 20},
}
# They take no labels, or fail in the second step.
REFUSED = ["DynamicSoftMarginLoss", "ManifoldLoss", "VICRegLoss"]
NAMES = sorted(name.removeprefix("pml:") for name in pml._losses("pml:"))
RUNNING = pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])


def adapted(name: str, seed: int = 0, **params: Any) -> Any:
    torch.manual_seed(seed)
    return build("metric", {"name": f"pml:{name}", **params}, dim=4, classes=4)


def original(name: str, seed: int = 0, **params: Any) -> Any:
    torch.manual_seed(seed)
    return getattr(pytorch_metric_learning.losses, name)(**params)


def test_most_of_the_package_is_there() -> None:
    assert len(NAMES) >= 30
    assert {"ContrastiveLoss", "ArcFaceLoss", "ProxyAnchorLoss", "CircleLoss"} <= set(NAMES)
    # Their arguments are losses or functions, which params.yaml cannot hold.
    assert not {"MultipleLosses", "CrossBatchMemory", "GenericPairLoss"} & set(NAMES)


@RUNNING
def test_every_loss_is_the_packages_own_and_trains(name: str) -> None:
    sizes = {
        key: {"classes": 4, "dim": 4}[value]
        for key, value in pml.SIZES.items()
        if key in pml._arguments(getattr(pytorch_metric_learning.losses, name))
    }
    embeddings, labels = checks.uneven_batch(2, sizes=(5, 5, 5, 5))
    embeddings = embeddings.float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own, of torch
        ours = adapted(name, **NEEDED.get(name, {}))
        theirs = original(name, **sizes, **NEEDED.get(name, {}))
        results = []
        for loss in (ours, theirs):
            torch.manual_seed(1)
            leaf = embeddings.clone().requires_grad_()
            value = loss(leaf, labels)
            value.sum().backward()
            results.append((value.detach().reshape(()), leaf.grad))
            assert all(p.grad is not None for p in loss.parameters())
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert list(ours.state_dict()) == [f"loss.{key}" for key in theirs.state_dict()]


def every_class() -> list[str]:
    return [
        name
        for name, kind in vars(pytorch_metric_learning.losses).items()
        if isinstance(kind, type) and issubclass(kind, torch.nn.Module)
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")  # the package's own, of torch
@pytest.mark.parametrize("name", every_class())
def test_every_class_of_the_package_is_offered_and_trains_or_is_refused_when_chosen(
    name: str,
) -> None:
    params = {"name": f"pml:{name}", **NEEDED.get(name, {})}
    if params["name"] not in pml._trainable():
        with pytest.raises(UserError) as caught:
            describe("metric", params)  # what the first stage of the pipeline does
        assert str(caught.value).isprintable()
        return
    describe("metric", params)
    torch.manual_seed(0)
    loss = build("metric", params, dim=4, classes=3)
    rows = torch.nn.Parameter(torch.randn(12, 4))
    before = rows.detach().clone()
    optimizer = torch.optim.SGD([rows, *loss.parameters()], lr=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        loss(rows, torch.arange(12) % 3).backward()
        optimizer.step()
    assert rows.isfinite().all()
    assert not torch.equal(rows, before)


def test_a_loss_that_breaks_in_the_second_step_is_refused_and_not_offered() -> None:
    with pytest.raises(UserError, match=r"'pml:DynamicSoftMarginLoss' does not run with .*another"):
        describe("metric", {"name": "pml:DynamicSoftMarginLoss"})
    with pytest.raises(UserError) as caught:
        describe("metric", {"name": "pml:Nothing"})
    assert "pml:RankedListLoss" in str(caught.value)
    assert not any(f"pml:{name}" in str(caught.value) for name in REFUSED)


@pytest.mark.parametrize(
    "name",
    ["__init__", "__builtins__", "os", "BaseMetricLossFunction", "base_metric_loss_function",
     "ContrastiveLoss.forward", "contrastive_loss.ContrastiveLoss", "../losses", "A\x1b[2J\n"],
)  # fmt: skip
def test_a_name_finds_nothing_but_a_loss(name: str) -> None:
    with pytest.raises(UserError, match=r"^unknown loss\.name 'pml:") as caught:
        describe("metric", {"name": f"pml:{name}"})
    assert str(caught.value).isprintable()


def test_parameters_pass_through_and_change_the_loss() -> None:
    embeddings, labels = checks.uneven_batch(0)
    theirs = original("ContrastiveLoss", neg_margin=0.3, pos_margin=0.1)
    ours = adapted("ContrastiveLoss", neg_margin=0.3, pos_margin=0.1)
    assert ours(embeddings, labels).item() == theirs(embeddings, labels).item()
    assert ours(embeddings, labels) != adapted("ContrastiveLoss")(embeddings, labels)


def test_weights_are_drawn_from_torchs_generator_and_trained() -> None:
    first, again, other = (
        adapted("ProxyAnchorLoss", seed).loss.proxies.clone() for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    data = corpus().train
    torch.manual_seed(0)
    encoder = BagEncoder(27, 8)
    loss = build("metric", {"name": "pml:ProxyAnchorLoss"}, dim=8, classes=3)
    before = [parameter.clone() for parameter in loss.parameters()]
    means: list[float] = []
    fit(
        encoder, loss, data, Train(epochs=5, batch_size=12), sampler="balanced", seed=0,
        on_epoch=lambda epoch: means.append(epoch.loss),
    )  # fmt: skip
    assert means[-1] < means[0]
    assert not torch.equal(before[0], next(loss.parameters()))


def test_building_draws_nothing_but_the_weights() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    build("metric", {"name": "pml:ContrastiveLoss"}, dim=4, classes=4)
    describe("metric", {"name": "pml:ProxyAnchorLoss"})
    assert torch.equal(torch.get_rng_state(), before)


def test_the_log_holds_mean_distances_of_pairs() -> None:
    embeddings, labels = checks.uneven_batch(0)
    loss = adapted("TripletMarginLoss")
    loss(embeddings, labels)
    checks.assert_distances_are_logged(loss, embeddings.tolist(), labels.tolist())


def test_the_registry_knows_it_by_name() -> None:
    params = {"name": "pml:TripletMarginLoss", "margin": 0.1}
    assert family_of("pml:TripletMarginLoss") == "metric"
    assert module_of("metric", params) == "textmetric.losses.pml"
    assert describe("metric", params) == {
        "name": "pml:TripletMarginLoss",
        "parameters": {
            "margin": 0.1,
            "smooth_loss": False,
            "swap": False,
            "triplets_per_anchor": "all",
        },
    }


def test_the_estimator_trains_with_it() -> None:
    texts = ["apple pie", "apple juice", "red car", "fast car"] * 2
    labels = ["food", "food", "road", "road"] * 2
    embedder = TextEmbedder("pml:MultiSimilarityLoss", objective_params={"beta": 40}, dim=4)
    assert embedder.fit(texts, labels).score(texts, labels) == 1
    assert np.isfinite(embedder.transform(texts)).all()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"name": "pml:ContrastivLoss"},
            "unknown loss.name 'pml:ContrastivLoss'; did you mean 'pml:ContrastiveLoss'? Known: "
            "pml:AngularLoss, pml:",
        ),
        ({"name": "pml:CrossBatchMemory"}, "unknown loss.name 'pml:CrossBatchMemory'"),
        ({"name": "pml:"}, "unknown loss.name 'pml:'"),
        (
            {"name": "pml:ContrastiveLoss", "neg_margn": 1},
            "unknown parameter 'loss.neg_margn'; did you mean 'loss.neg_margin'? Known: "
            "loss.name, loss.neg_margin, loss.pos_margin",
        ),
        (
            {"name": "pml:ContrastiveLoss", "neg_margin": "wide"},
            "loss.neg_margin is 'wide', but ",
        ),
        (
            {"name": "pml:ContrastiveLoss", "neg_margin": float("nan")},
            "loss.neg_margin is nan, but it should be a number from ",
        ),
        ({"name": "pml:ContrastiveLoss", "neg_margin": [1]}, "loss.neg_margin is [1], but "),
        ({"name": "pml:RankedListLoss", "Tn": 10}, "'loss.margin' is missing: add it"),
        (
            {"name": "pml:PNPLoss", "variant": "X"},
            "the objective 'pml:PNPLoss' does not run with the parameters {'variant': 'X'} (",
        ),
        (
            {"name": "pml:VICRegLoss"},
            "the objective 'pml:VICRegLoss' does not run with the parameters {} (",
        ),
        ({"name": "pml:ArcFaceLoss", "num_classes": 4}, "unknown parameter 'loss.num_classes'"),
    ],
)
def test_a_mistake_is_one_sentence(params: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        build("metric", params, dim=4, classes=4)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_batch_that_the_package_refuses_is_one_sentence() -> None:
    embeddings, labels = checks.uneven_batch(0)
    with pytest.raises(UserError, match=r"'pml:SmoothAPLoss' cannot use a batch of 12 rows \("):
        adapted("SmoothAPLoss")(embeddings, labels)


def test_without_the_package_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pytorch_metric_learning'] = None\n"
        "from textmetric.losses import build, family_of\n"
        "assert family_of('pml:ContrastiveLoss') == 'metric'\n"
        "build('metric', {'name': 'triplet'}, dim=2, classes=2)\n"
        "try: build('metric', {'name': 'pml:ContrastiveLoss'}, dim=2, classes=2)\n"
        "except ValueError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == (
        "the loss 'pml:ContrastiveLoss' needs the package pytorch-metric-learning: "
        "install it with pip install '.[pml]'\n"
    )
