from __future__ import annotations

import numpy as np
import pytest
import torch

from textmetric.encoders import BagEncoder, build_encoder, load_encoder
from textmetric.params import Model
from textmetric.text import RaggedTokens

LAYERS = pytest.mark.parametrize("layer", ["bag", "linear", "layernorm", "mlp"])


def texts(seed: int = 0, rows: int = 50, tokens: int = 20) -> RaggedTokens:
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *rng.integers(0, 5, rows)], dtype=np.int64)
    return RaggedTokens(rng.integers(1, tokens, offsets[-1], dtype=np.int32), offsets)


@LAYERS
def test_an_embedding_is_the_mean_of_the_token_vectors_and_maybe_a_layer_on_top(layer: str) -> None:
    torch.manual_seed(0)
    encoder, tokens = BagEncoder(20, 8, layer), texts()
    weight = encoder.weight.detach().numpy().astype(np.float64)
    for row, found in enumerate(encoder.embed(tokens)):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]
        expected = weight[ids].mean(axis=0) if len(ids) else np.zeros(8)
        if layer != "bag":
            values = [p.detach().numpy() for p in encoder.projection.parameters()]
            if layer == "layernorm":
                scale, shift = values[:2]
                spread = np.sqrt(expected.var() + 1e-5)
                expected = (expected - expected.mean()) / spread * scale + shift
            if layer == "mlp":
                expected = np.maximum(values[0] @ expected + values[1], 0)
            matrix, bias = values[-2:]
            expected = matrix @ expected + bias
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (tokens.lengths == 0).any()


def test_token_vectors_start_uniform_between_plus_and_minus_a_half() -> None:
    torch.manual_seed(0)
    values = BagEncoder(1000, 32).weight.detach().numpy()
    assert -0.5 <= values.min() < -0.49
    assert 0.49 < values.max() <= 0.5
    assert values.std() == pytest.approx(1 / np.sqrt(12), rel=0.01)


@LAYERS
def test_what_it_saves_gives_the_same_embeddings(layer: str) -> None:
    encoder = build_encoder(Model(dim=4, layer=layer), 20)
    again = load_encoder(Model(dim=4, layer=layer), encoder.arrays(), tokens=20, width=4)
    assert (again.dim, again.layer) == (4, layer)
    assert again.token_vectors is again.weight
    np.testing.assert_array_equal(again.embed(texts()), encoder.embed(texts()))
