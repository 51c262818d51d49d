"""Export as an ONNX graph from token ids to embeddings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from textmetric.errors import UserError, needing
from textmetric.export.card import CARD, Measures, card
from textmetric.export.folder import export_folder
from textmetric.export.source import Source, projection, title_of, token_model, token_vectors
from textmetric.export.tokenizer import row_of_each_id, tokenizer_json
from textmetric.inference import EPSILON
from textmetric.saved import Saved
from textmetric.types import PathLike

_OPSET = 17  # the first with LayerNormalization
_IR = 8  # of that opset
_MOST_BYTES = (1 << 31) - (1 << 20)  # of a protobuf message, with room for what is no weight


def export_onnx(model: Source, out: PathLike, *, measures: Measures | None = None) -> None:
    """Write ``model.onnx`` with ``tokenizer.json`` next to it.

    The graph takes ``input_ids`` and ``attention_mask``, both (n, t) int64, and gives
    ``embedding``, (n, dim) float32: n texts of t tokens with their padding, whose mask is 0. The
    tokenizer pads. Unknown tokens are left out.

    Args:
        model: the folder of a saved model, or the model.
        out: the folder to write; an earlier export is replaced.
        measures: for the card, see :data:`.Measures`.

    Raises:
        UserError: the package ``onnx`` is missing, the encoder is frozen, the tokenizer has
            n-grams, the weights are too large, or ``out`` cannot be written.
    """
    saved = token_model(model, "onnx")
    content = _graph(saved)
    tokenizer = json.loads(tokenizer_json(saved.vocabulary))
    tokenizer["padding"] = {
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": saved.vocabulary.tokens[0],
    }  # fmt: skip
    with export_folder(out) as folder:
        (folder / "model.onnx").write_bytes(content)
        (folder / "tokenizer.json").write_text(
            json.dumps(tokenizer, ensure_ascii=False, indent=1), encoding="utf-8"
        )
        text = card(
            saved,
            title=title_of(out),
            front={"library_name": "onnx", "pipeline_tag": "feature-extraction"},
            tags=("feature-extraction", "static-embeddings"),
            usage=_USAGE,
            notes=[],
            measures=measures,
        )
        (folder / CARD).write_text(text, encoding="utf-8")


_USAGE = """
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("path/to/this/folder/tokenizer.json")
session = onnxruntime.InferenceSession("path/to/this/folder/model.onnx")
rows = tokenizer.encode_batch(["a text", "another text"], add_special_tokens=False)
inputs = {
    "input_ids": np.array([row.ids for row in rows], dtype=np.int64),
    "attention_mask": np.array([row.attention_mask for row in rows], dtype=np.int64),
}
[vectors] = session.run(["embedding"], inputs)
"""


def _graph(saved: Saved) -> bytes:
    """The graph, serialised.

    Raises:
        UserError: see :func:`export_onnx`.
    """
    with needing("the export to onnx", "export"):
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    vectors = token_vectors(saved)
    weights: dict[str, Any] = {
        "token_vectors": vectors,
        "known": (row_of_each_id(saved.vocabulary) > 0).astype(np.float32),
        "one": np.float32(1),
        "tokens": np.array([1], dtype=np.int64),
        "last": np.array([2], dtype=np.int64),
        **projection(saved),
    }
    size = sum(np.asarray(array).nbytes for array in weights.values())
    if size > _MOST_BYTES:
        raise UserError(
            f"the weights take {size / 1e9:.1f} GB, and a file of onnx at most 2 GB: export to "
            "sentence-transformers"
        )
    node = helper.make_node
    nodes = [
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Gather", ["known", "input_ids"], ["known_tokens"]),
        node("Mul", ["mask", "known_tokens"], ["counted"]),
        node("Gather", ["token_vectors", "input_ids"], ["vectors"]),
        node("Unsqueeze", ["counted", "last"], ["factors"]),
        node("Mul", ["vectors", "factors"], ["counted_vectors"]),
        node("ReduceSum", ["counted_vectors", "tokens"], ["sums"], keepdims=0),
        node("ReduceSum", ["counted", "tokens"], ["numbers"], keepdims=1),
        node("Max", ["numbers", "one"], ["divisors"]),
        node("Div", ["sums", "divisors"], ["bag"]),
        *(node(kind, inputs, [output], **about) for kind, inputs, output, about in _layers(saved)),
    ]
    graph = helper.make_graph(
        nodes,
        "textmetric",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
            for name in ("input_ids", "attention_mask")
        ],
        [
            helper.make_tensor_value_info(
                "embedding", TensorProto.FLOAT, ["texts", saved.recipe["model"]["dim"]]
            )
        ],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", _OPSET)]
    built = helper.make_model(graph, opset_imports=opset, producer_name="textmetric")
    built.ir_version = _IR
    onnx.checker.check_model(built)
    content: bytes = built.SerializeToString()
    return content


def _layers(saved: Saved) -> list[tuple[str, list[str], str, dict[str, Any]]]:
    """The operators from ``bag`` to ``embedding``: kind, inputs, output, attributes."""
    layer = saved.recipe["model"]["layer"]
    if layer == "bag":
        return [("Identity", ["bag"], "embedding", {})]
    product = {"transB": 1}
    if layer == "linear":
        return [("Gemm", ["bag", "weight", "bias"], "embedding", product)]
    if layer == "layernorm":
        norm = {"axis": -1, "epsilon": EPSILON}
        return [
            ("LayerNormalization", ["bag", "0.weight", "0.bias"], "normalised", norm),
            ("Gemm", ["normalised", "1.weight", "1.bias"], "embedding", product),
        ]
    return [
        ("Gemm", ["bag", "0.weight", "0.bias"], "hidden", product),
        ("Relu", ["hidden"], "rectified", {}),
        ("Gemm", ["rectified", "2.weight", "2.bias"], "embedding", product),
    ]
