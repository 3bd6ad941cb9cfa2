"""The native embedder: numbers against a forward pass in numpy and against the token-level API, batching, bad inputs.

Tolerances: llama.cpp's flash attention keeps keys and values in half precision and its GELU is a table of halves, so
values of size 1 differ by about 1e-3 from single precision, and the same input in another batch by less. The demo model
is quantized, and its kernels depend on the size of a batch: rows of length 1 differ by less than 1e-2 in any value.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from arithmetic import HIDES_NAN
from numpy.typing import NDArray

from shimmy import _core
from shimmy._core import ContextParams, Embedder, EmbedderParams
from shimmy.errors import EngineDeadError, InvalidRequestError, ModelLoadError, PromptTooLongError, QueueFullError
from tiny_bert import CLS, N_CTX, N_EMBD, SEP, TOKENS, TinyBert, unit

ONE_THREAD = ContextParams(n_threads=1)
INPUTS = [[CLS, 5, 6, 8, SEP], [CLS, 7, SEP], [CLS, *range(5, 40), SEP], [CLS, SEP], [CLS, *range(20, 30), SEP]]

Berts = Callable[..., tuple[TinyBert, _core.Model]]
Rows = list[NDArray[np.float32]]


@pytest.fixture(scope="module")
def berts(tmp_path_factory: pytest.TempPathFactory) -> Berts:
    """A tiny BERT with its weights, and the same loaded from a file."""
    folder = tmp_path_factory.mktemp("berts")
    made: dict[tuple[Any, ...], tuple[TinyBert, _core.Model]] = {}

    def bert(pooling: str = "mean", head: str = "", n_labels: int = 1) -> tuple[TinyBert, _core.Model]:
        key = (pooling, head, n_labels)
        if key not in made:
            reference = TinyBert(*key)
            made[key] = reference, _core.Model(reference.write(folder / f"{pooling}-{head}-{n_labels}.gguf"))
        return made[key]

    return bert


def open_embedder(model: _core.Model, **params: Any) -> Embedder:
    return Embedder(model, ONE_THREAD, EmbedderParams(**params))


def run(embedder: Embedder, inputs: list[list[int]], **options: Any) -> Rows:
    job = embedder.add(inputs, **options)
    return collect(embedder)[job]


def collect(embedder: Embedder) -> dict[int, Rows]:
    """The rows of all jobs that were added."""
    rows = {}
    while embedder.stats.jobs:
        for output in embedder.step():
            assert output.error == ""
            rows[output.id] = output.rows
    return rows


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "none"])
def test_bert_equals_its_forward_pass_in_numpy(berts: Berts, pooling: str) -> None:
    reference, model = berts()
    embedder = open_embedder(model, pooling=pooling)
    assert embedder.pooling == pooling
    for tokens, rows in zip(INPUTS, run(embedder, INPUTS, normalize=False), strict=True):
        expected = np.atleast_2d(reference.pooled(tokens, pooling))
        assert rows.dtype == np.float32
        assert rows.shape == expected.shape
        np.testing.assert_allclose(rows, expected, atol=1e-2 if pooling == "none" else 5e-3)
        np.testing.assert_allclose(unit(rows), unit(expected), atol=1e-3)


@pytest.mark.parametrize(("head", "n_labels"), [("dense", 1), ("linear", 1), ("dense", 3)])
def test_a_rank_head_equals_its_forward_pass_in_numpy(berts: Berts, head: str, n_labels: int) -> None:
    reference, model = berts("rank", head, n_labels)
    embedder = open_embedder(model)
    assert (embedder.pooling, embedder.width) == ("rank", n_labels)
    for tokens, rows in zip(INPUTS, run(embedder, INPUTS), strict=True):
        np.testing.assert_allclose(rows, [reference.logits(tokens)], atol=5e-3)


@pytest.mark.parametrize(
    ("said", "pooling"), [("mean", "mean"), ("cls", "cls"), ("last", "last"), ("none", "mean"), ("", "mean")]
)
def test_pooling_is_the_models_own_and_mean_for_an_encoder_that_says_none(
    berts: Berts, said: str, pooling: str
) -> None:
    _, model = berts(said)
    assert model.pooling == said
    assert open_embedder(model).pooling == pooling


def token_rows(model: _core.Model, tokens: list[int]) -> NDArray[np.float32]:
    """The embedding of each token of a causal model, from the token-level API."""
    context = _core.Context(model, ContextParams(n_ctx=512, embeddings=True, pooling="none", n_threads=1))
    batch = _core.Batch()
    for position, token in enumerate(tokens):
        batch.add(token, position, [0], True)
    assert context.decode(batch) == _core.DecodeStatus.OK
    return np.stack([context.embeddings(i) for i in range(len(tokens))])


TEXTS = ["Who are you?", "The sky is blue.", "List the days of the week. " * 8, "x"]


@pytest.mark.parametrize("pooling", ["last", "mean", "cls", "none"])
def test_a_causal_model_equals_pooling_by_hand(model: _core.Model, tok: _core.Tokenizer, pooling: str) -> None:
    inputs = [tok.encode(text) for text in TEXTS]
    for tokens, rows in zip(inputs, run(open_embedder(model, pooling=pooling), inputs), strict=True):
        by_hand = token_rows(model, tokens)
        expected = {"last": by_hand[-1:], "mean": by_hand.mean(0)[None], "cls": by_hand[:1], "none": by_hand}[pooling]
        np.testing.assert_allclose(rows, unit(expected), atol=1e-2)


def test_a_causal_model_that_says_nothing_takes_the_last_token(model: _core.Model) -> None:
    assert model.pooling == ""
    assert model.is_causal
    assert open_embedder(model).pooling == "last"


@pytest.mark.parametrize("pooling", ["last", "none"])
def test_a_causal_input_longer_than_a_batch_is_computed_in_chunks(
    model: _core.Model, tok: _core.Tokenizer, pooling: str
) -> None:
    tokens = tok.encode(TEXTS[2])
    assert len(tokens) > 40
    whole, chunked = (open_embedder(model, pooling=pooling, batch_tokens=n) for n in (512, 16))
    assert chunked.batch_tokens == 16
    inputs = [tokens, tokens[:5], tokens[:16], tokens[:17]]
    for a, b in zip(run(whole, inputs), run(chunked, inputs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-2)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_batched_equals_isolated(berts: Berts, model: _core.Model, tok: _core.Tokenizer, pooling: str) -> None:
    texts = [tok.encode(text) for text in TEXTS]
    for each, inputs, tolerance in ((berts()[1], INPUTS, 1e-3), (model, texts, 1e-2)):
        embedder = open_embedder(each, pooling=pooling)
        together = run(embedder, inputs)
        assert embedder.stats.batches == 1
        for rows, tokens in zip(together, inputs, strict=True):
            np.testing.assert_allclose(rows, run(embedder, [tokens])[0], atol=tolerance)


def test_rows_are_of_length_one_unless_asked_otherwise(berts: Berts) -> None:
    embedder = open_embedder(berts()[1])
    raw = run(embedder, INPUTS, normalize=False)
    for rows, same in zip(run(embedder, INPUTS), raw, strict=True):
        np.testing.assert_allclose(np.linalg.norm(rows), 1, rtol=1e-6)
        np.testing.assert_allclose(rows, unit(same), atol=1e-6)


@pytest.mark.parametrize("dimensions", [1, 7, N_EMBD])
def test_dimensions_cut_and_normalise_again(berts: Berts, dimensions: int) -> None:
    embedder = open_embedder(berts()[1])
    whole = run(embedder, INPUTS, normalize=False)
    for rows, row in zip(run(embedder, INPUTS, dimensions=dimensions), whole, strict=True):
        np.testing.assert_allclose(rows, unit(row[:, :dimensions]), atol=1e-6)
    cut = run(embedder, INPUTS, dimensions=dimensions, normalize=False)
    np.testing.assert_array_equal(np.concatenate(cut), np.concatenate(whole)[:, :dimensions])


# --- batching ---------------------------------------------------------------------------------------------------------


def test_jobs_share_batches(berts: Berts) -> None:
    embedder = open_embedder(berts()[1])
    jobs = [embedder.add([tokens]) for tokens in INPUTS]
    assert (embedder.stats.jobs, embedder.stats.waiting) == (5, 5)
    outputs = embedder.step()
    assert sorted(output.id for output in outputs) == jobs
    assert (embedder.stats.batches, embedder.stats.tokens) == (1, sum(map(len, INPUTS)))
    assert (embedder.stats.jobs, embedder.stats.waiting) == (0, 0)
    assert embedder.step() == []


def test_a_batch_holds_what_the_limits_say(berts: Berts) -> None:
    embedder = open_embedder(berts()[1], max_num_seqs=2, batch_tokens=N_CTX)
    assert (embedder.n_seq_max, embedder.batch_tokens, embedder.max_input_tokens) == (2, N_CTX, N_CTX)
    job = embedder.add(INPUTS)
    assert [len(embedder.step()) for _ in range(3)] == [0, 0, 1]
    assert embedder.stats.batches == 3
    assert job == 1


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 16, 10), (256, 512, 64), (256, 5, 64), (7, 64, 33)])
def test_any_sizes_work(berts: Berts, sizes: tuple[int, int, int]) -> None:
    n_seqs, n_tokens, longest = sizes
    reference, model = berts()
    embedder = open_embedder(model, max_num_seqs=n_seqs, batch_tokens=n_tokens, max_input_tokens=longest)
    assert embedder.max_input_tokens == longest
    inputs = [tokens[:longest] for tokens in [*INPUTS, list(range(longest % len(TOKENS)))] if tokens]
    for tokens, rows in zip(inputs, run(embedder, [t or [CLS] for t in inputs]), strict=True):
        np.testing.assert_allclose(rows[0], unit(reference.pooled(tokens or [CLS], "mean")), atol=1e-3)


def test_cancelled_jobs_have_no_output_and_no_further_batch(berts: Berts) -> None:
    embedder = open_embedder(berts()[1], max_num_seqs=1)
    first, second = embedder.add(INPUTS), embedder.add(INPUTS[:2])
    embedder.step()
    embedder.cancel(first)
    embedder.cancel(first)
    embedder.cancel(999)
    assert list(collect(embedder)) == [second]
    assert embedder.stats.batches == 3


def test_threads_share_an_embedder(berts: Berts) -> None:
    embedder = open_embedder(berts()[1], max_num_seqs=4)
    expected = run(embedder, INPUTS)
    rows: dict[int, Rows] = {}
    jobs: list[int] = []
    cancelled: list[int] = []

    def work() -> None:
        for _ in range(10):
            jobs.append(embedder.add(INPUTS))
            cancelled.append(embedder.add(INPUTS))
            embedder.cancel(cancelled[-1])
            rows.update((output.id, output.rows) for output in embedder.step())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows.update(collect(embedder))
    assert set(jobs) <= set(rows) <= {*jobs, *cancelled}  # another thread's step may come before the cancel
    for answer in rows.values():
        np.testing.assert_allclose(np.concatenate(answer), np.concatenate(expected), atol=2e-3)


# --- bad inputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "options", "words", "param"),
    [
        ([], {}, "there is no input", "input"),
        ([[2], []], {}, "input 1 is empty", "input"),
        ([[2, len(TOKENS)]], {}, f"vocabulary has ids 0 to {len(TOKENS) - 1}", "input"),
        ([[-1]], {}, "holds token -1", "input"),
        ([[2]], {"dimensions": 0}, "between 1 and 32", "dimensions"),
        ([[2]], {"dimensions": 33}, "between 1 and 32", "dimensions"),
        ([[2]] * 51, {}, "the queue holds 50", "input"),
    ],
)
def test_bad_inputs_are_refused(
    berts: Berts, inputs: list[list[int]], options: dict[str, int], words: str, param: str
) -> None:
    embedder = open_embedder(berts()[1], max_waiting=50)
    with pytest.raises(InvalidRequestError, match=words) as caught:
        embedder.add(inputs, **options)
    assert caught.value.param == param
    assert embedder.stats.jobs == 0


def test_an_input_may_be_as_long_as_the_context_and_no_longer(berts: Berts) -> None:
    reference, model = berts()
    embedder = open_embedder(model)
    tokens = [5 + i % 30 for i in range(N_CTX)]
    np.testing.assert_allclose(run(embedder, [tokens])[0][0], unit(reference.pooled(tokens, "mean")), atol=1e-3)
    with pytest.raises(PromptTooLongError, match="input 1 has 65 tokens and at most 64") as caught:
        embedder.add([[5], [*tokens, 5]])
    assert (caught.value.param, caught.value.n_prompt_tokens, caught.value.n_ctx) == ("input", 65, 64)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_causal_input_may_be_as_long_as_was_asked_for(model: _core.Model, pooling: str) -> None:
    embedder = open_embedder(model, pooling=pooling, max_input_tokens=100, batch_tokens=40)
    assert (embedder.batch_tokens >= 100) == (pooling == "mean")
    (rows,) = run(embedder, [[5] * 100])
    assert np.isfinite(rows).all()
    with pytest.raises(PromptTooLongError, match="has 101 tokens and at most 100"):
        embedder.add([[5] * 101])


def test_a_full_queue_refuses_whole_jobs(berts: Berts) -> None:
    embedder = open_embedder(berts()[1], max_waiting=3)
    embedder.add([[2], [3]])
    with pytest.raises(QueueFullError, match="2 inputs are waiting"):
        embedder.add([[2], [3]])
    embedder.add([[2]])
    assert len(collect(embedder)) == 2


def test_values_that_are_not_finite_fail_their_job_alone(tmp_path: Path) -> None:
    reference = TinyBert()
    reference.weights["token_embd.weight"][7] = np.nan
    embedder = open_embedder(_core.Model(reference.write(tmp_path / "nan.gguf")))
    bad, good = embedder.add([[CLS, 5, SEP], [CLS, 7, SEP]]), embedder.add([[CLS, 5, SEP]])
    outputs: dict[int, _core.EmbedOutput] = {}
    while embedder.stats.jobs:
        outputs |= {output.id: output for output in embedder.step()}
    assert "for input 1 that are no finite numbers" in outputs[bad].error
    assert outputs[bad].rows == []
    np.testing.assert_allclose(outputs[good].rows[0][0], unit(reference.pooled([CLS, 5, SEP], "mean")), atol=1e-3)


@pytest.mark.parametrize(
    ("params", "words", "param"),
    [
        ({"max_num_seqs": 0}, "between 1 and 256", "max_num_seqs"),
        ({"max_num_seqs": 257}, "between 1 and 256", "max_num_seqs"),
        ({"max_waiting": 0}, "between 1 and", "max_waiting"),
        ({"batch_tokens": 0}, "between 1 and", "batch_tokens"),
        ({"max_input_tokens": 65}, "the model was trained with 64", "max_input_tokens"),
        ({"pooling": "max"}, "none, mean, cls, last, rank", "pooling"),
        ({"pooling": "rank"}, "has no classification head", "pooling"),
    ],
)
def test_bad_parameters_are_refused(berts: Berts, params: dict[str, Any], words: str, param: str) -> None:
    with pytest.raises(InvalidRequestError, match=words) as caught:
        open_embedder(berts()[1], **params)
    assert caught.value.param == param


def test_a_causal_model_has_no_rank_head(model: _core.Model) -> None:
    with pytest.raises(InvalidRequestError, match="has no classification head"):
        open_embedder(model, pooling="rank")


def test_shutdown_ends_all_jobs_and_is_final(berts: Berts) -> None:
    embedder = open_embedder(berts()[1])
    job = embedder.add(INPUTS)
    embedder.shutdown()
    embedder.shutdown()
    (output,) = embedder.step()
    assert (output.id, output.error) == (job, "the embedder was shut down")
    assert embedder.step() == []
    assert embedder.death == "the embedder was shut down"
    with pytest.raises(EngineDeadError, match="was shut down"):
        embedder.add(INPUTS)


def test_shutdown_stops_what_runs(model: _core.Model) -> None:
    embedder = open_embedder(model, max_input_tokens=2048)
    job = embedder.add([[5] * 2048 for _ in range(20)])
    ended: list[_core.EmbedOutput] = []

    def work() -> None:
        while embedder.stats.jobs:
            ended.extend(embedder.step())

    thread = threading.Thread(target=work)
    thread.start()
    while embedder.stats.waiting == 20:
        pass
    embedder.shutdown()
    thread.join(20)
    assert not thread.is_alive()
    ended += embedder.step()
    assert [output.id for output in ended] == [job]


def test_an_encoder_cannot_generate(berts: Berts) -> None:
    _, model = berts()
    assert not model.can_generate
    assert not model.is_causal


def test_a_causal_model_can(model: _core.Model) -> None:
    assert model.can_generate


@pytest.mark.skipif(HIDES_NAN, reason="this GPU makes numbers of NaN")
@pytest.mark.parametrize("flash_attn", ["off", "auto"])
def test_nan_does_not_stay_in_a_cache(tiny_models: Callable[[str, int], Path], tmp_path: Path, flash_attn: str) -> None:
    """A causal model one of whose tokens has an embedding of NaN."""
    path = tiny_models("f16", 1)
    model = _core.Model(path)
    data = bytearray(path.read_bytes())
    (table,) = (tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == "token_embd.weight")
    n_bytes = 2 * model.n_embd
    start = table.data_offset + 7 * n_bytes
    data[start : start + n_bytes] = b"\xff\x7f" * model.n_embd  # a NaN in half precision
    (tmp_path / "nan.gguf").write_bytes(data)
    broken = _core.Model(tmp_path / "nan.gguf")
    clean, embedder = (
        Embedder(each, ContextParams(n_threads=1, flash_attn=flash_attn), EmbedderParams()) for each in (model, broken)
    )
    bad, good = embedder.add([[5, 7, 9]]), embedder.add([[5, 6], [9]])
    outputs: dict[int, _core.EmbedOutput] = {}
    while embedder.stats.jobs:
        outputs |= {output.id: output for output in embedder.step()}
    assert "no finite numbers" in outputs[bad].error
    for rows, expected in zip(outputs[good].rows, run(clean, [[5, 6], [9]]), strict=True):
        np.testing.assert_allclose(rows, expected, atol=1e-2)


def test_the_token_level_api_refuses_positions_that_an_encoder_does_not_have(berts: Berts) -> None:
    context = _core.Context(berts()[1], ContextParams(embeddings=True, n_threads=1))
    batch = _core.Batch()
    batch.add(CLS, N_CTX, [0], True)
    with pytest.raises(InvalidRequestError, match="at position 64, the model has 64"):
        context.encode(batch)


@pytest.mark.parametrize(
    ("head", "n_labels", "drop", "words"),
    [
        ("", 1, [], "no classification head"),
        ("dense", 1, ["cls.output.weight", "cls.output.bias"], "'cls.weight' gives 32 values .* 1 labels"),
        ("linear", 2, [], "'cls.output.weight' gives 1 values .* 2 labels"),
    ],
)
def test_a_reranker_without_its_head_is_not_loaded(
    tmp_path: Path, head: str, n_labels: int, drop: list[str], words: str
) -> None:
    bert = TinyBert("rank", head)
    bert.n_labels = n_labels
    for name in drop:
        del bert.weights[name]
    with pytest.raises(ModelLoadError, match=words):
        _core.Model(bert.write(tmp_path / "rank.gguf"))
