"""Embedding and reranking through LLM, AsyncEngine and a runner process."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fixtures import QUESTIONS, spec

from shimmy import LLM, AsyncEngine, EmbedRequest, LoadSpec, RerankRequest, _core, demo_model_path
from shimmy.errors import EngineDeadError, InvalidRequestError, ModelLoadError, PromptTooLongError
from shimmy.runner import RunnerClient
from tiny_bert import CLS, SEP, TOKENS, TinyBert, unit

DOCUMENTS = ["the bird sings loud", "the cat sat on the mat", "a dog", "mat", "the cat sat on the mat"]


Berts = Callable[..., tuple[TinyBert, Path]]


@pytest.fixture(scope="module")
def berts(tmp_path_factory: pytest.TempPathFactory) -> Berts:
    """A tiny BERT with its weights, and the file that holds them."""
    folder = tmp_path_factory.mktemp("berts")

    def bert(pooling: str = "mean", head: str = "", n_labels: int = 1) -> tuple[TinyBert, Path]:
        reference = TinyBert(pooling, head, n_labels)
        return reference, reference.write(folder / f"{pooling}-{head}-{n_labels}.gguf")

    return bert


def load(path: Path, **fields: Any) -> LLM:
    return LLM(LoadSpec(name="bert", path=str(path), context={"n_threads": 1}, **fields))


def ids(text: str) -> list[int]:
    return [TOKENS.index("\u2581" + word) for word in text.split()]


# --- LLM --------------------------------------------------------------------------------------------------------------


def test_an_encoder_embeds_and_does_not_generate(berts: Berts) -> None:
    reference, path = berts()
    with load(path) as llm:
        assert not llm.info.can_generate
        assert (llm.info.n_ctx, llm.info.n_embd, llm.info.pooling) == (64, 32, "mean")
        answer = llm.embed(["the cat sat", [CLS, 7, SEP], "zzz?"])
        assert (len(answer), answer.dimensions, answer.pooling) == (3, 32, "mean")
        tokens = [[CLS, *ids("the cat sat"), SEP], [CLS, 7, SEP], llm.tokenizer.encode("zzz?")]
        assert answer.prompt_tokens == sum(map(len, tokens))
        expected = np.stack([unit(reference.pooled(each, "mean")) for each in tokens])
        np.testing.assert_allclose(answer.matrix(), expected, atol=1e-3)
        for i in range(3):
            np.testing.assert_array_equal(answer.rows(i), answer.matrix()[i : i + 1])
            assert answer.floats(i) == answer.rows(i)[0].tolist()
        for call in (llm.generate, llm.stream):
            with pytest.raises(InvalidRequestError, match="cannot generate text") as caught:
                call("the cat")
            assert caught.value.param == "model"
        assert llm.stats().running == 0


def test_one_text_needs_no_list_and_options_are_passed_on(berts: Berts) -> None:
    with load(berts()[1]) as llm:
        whole = llm.embed("the cat", normalize=False).rows(0)
        cut = llm.embed("the cat", dimensions=8)
        assert cut.dimensions == 8
        np.testing.assert_allclose(cut.matrix(), unit(whole[:, :8]), atol=1e-6)


def test_token_embeddings_have_a_row_for_each_token(berts: Berts) -> None:
    reference, path = berts()
    with load(path, embedder={"pooling": "none"}) as llm:
        answer = llm.embed(["the cat", "mat"], dimensions=16)
        assert [answer.rows(i).shape for i in range(2)] == [(4, 16), (3, 16)]
        assert answer.matrix().shape == (7, 16)
        expected = unit(reference.hidden([CLS, *ids("the cat"), SEP])[:, :16])
        np.testing.assert_allclose(answer.rows(0), expected, atol=1e-2)


def test_nothing_to_embed_or_rank_is_an_empty_answer(berts: Berts) -> None:
    with load(berts()[1]) as llm:
        assert len(llm.embed([])) == 0
        assert llm.embed([]).matrix().shape == (0, 32)
        assert len(llm.embed("")) == 1  # CLS and SEP
    with load(berts("rank", "linear")[1]) as llm:
        assert llm.rerank("cat", []).results == []


def test_a_generating_model_embeds_while_it_generates() -> None:
    with LLM(spec()) as llm:
        alone = llm.embed(list(QUESTIONS))
        stream = llm.stream("Once upon a time", max_tokens=64, temperature=0.0)
        first = next(stream)
        beside = llm.embed(list(QUESTIONS))
        text = first.text + "".join(output.text for output in stream)
        assert text == llm.generate("Once upon a time", max_tokens=64, temperature=0.0).text
        np.testing.assert_allclose(alone.matrix(), beside.matrix(), atol=1e-2)
        assert alone.pooling == "last"
        with pytest.raises(InvalidRequestError, match="input 0 is empty"):
            llm.embed("")  # the demo model adds no token of its own


def test_threads_share_batches() -> None:
    with LLM(spec()) as llm:
        expected = {text: llm.embed(text).matrix() for text in QUESTIONS}
        answers: dict[str, Any] = {}
        threads = [
            threading.Thread(target=lambda text=text: answers.update({text: llm.embed(text).matrix()}))
            for text in QUESTIONS
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for text in QUESTIONS:
            np.testing.assert_allclose(answers[text], expected[text], atol=1e-2)


@pytest.mark.parametrize(
    ("texts", "options", "param"),
    [
        ([5, 6], {}, "input"),
        ([["a"]], {}, "input"),
        ([[1, 2**40]], {}, "input"),
        ([[1, 999]], {}, "input"),
        ([[]], {}, "input"),
        (5, {}, "input"),
        ("a", {"dimensions": 0}, "dimensions"),
        ("a", {"dimensions": 33}, "dimensions"),
        ("a", {"dimensions": -1}, "dimensions"),
        ("a", {"dimensions": 2**40}, "dimensions"),
    ],
)
def test_bad_requests_name_the_field(berts: Berts, texts: Any, options: dict[str, int], param: str) -> None:
    with load(berts()[1]) as llm:
        with pytest.raises(InvalidRequestError) as caught:
            llm.embed(texts, **options)
        assert caught.value.param == param


def test_bad_loads_are_refused(berts: Berts, tmp_path: Path) -> None:
    _, path = berts()
    with pytest.raises(InvalidRequestError, match="has no option 'size'"):
        load(path, embedder={"size": 1})
    with pytest.raises(InvalidRequestError, match="takes no LoRA adapters"):
        load(path, adapters={"a": "a.gguf"})
    with pytest.raises(InvalidRequestError, match="no classification head"):
        load(path, embedder={"pooling": "rank"})
    with pytest.raises(ModelLoadError):
        load(tmp_path / "missing.gguf")


def test_a_closed_model_embeds_no_more() -> None:
    llm = LLM(spec())
    llm.embed("a")
    llm.close()
    with pytest.raises(EngineDeadError, match="closed"):
        llm.embed("a")
    with LLM(spec()) as unused:
        pass
    with pytest.raises(EngineDeadError, match="closed"):
        unused.embed("a")


# --- rerank -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["dense", "linear"])
def test_documents_are_ranked_by_the_heads_logit(berts: Berts, head: str) -> None:
    reference, path = berts("rank", head)
    prompts = [[CLS, *ids("the cat"), SEP, *ids(document), SEP] for document in DOCUMENTS]
    logits = [float(reference.logits(prompt)[0]) for prompt in prompts]
    order = sorted(range(len(DOCUMENTS)), key=lambda index: -logits[index])
    with load(path) as llm:
        raw = llm.rerank("the cat", DOCUMENTS, raw_scores=True)
        assert [result.index for result in raw.results] == order
        np.testing.assert_allclose([r.score for r in raw.results], [logits[i] for i in order], atol=5e-3)
        assert raw.prompt_tokens == sum(map(len, prompts))
        ranking = llm.rerank("the cat", DOCUMENTS)
        assert [result.index for result in ranking.results] == order
        for scored, result in zip(raw.results, ranking.results, strict=True):
            assert result.score == pytest.approx(1 / (1 + math.exp(-scored.score)), abs=1e-3)
        assert llm.rerank("the cat", DOCUMENTS, top_n=2).results == ranking.results[:2]
        assert len(llm.rerank("the cat", DOCUMENTS, top_n=99).results) == len(DOCUMENTS)


def test_special_tokens_in_a_document_are_text(berts: Berts) -> None:
    with load(berts("rank", "linear")[1]) as llm:
        plain = llm.tokenizer.encode("[SEP]", add_special=False, parse_special=False)
        assert SEP not in plain
        assert llm.rerank("cat", ["a [SEP]"]).prompt_tokens == len([CLS, *ids("cat"), SEP, *ids("a"), *plain, SEP])


def test_what_is_no_reranker_does_not_rank_and_a_reranker_does_not_embed(berts: Berts) -> None:
    with load(berts()[1]) as llm, pytest.raises(InvalidRequestError, match="no classification head") as caught:
        llm.rerank("a", ["b"])
    assert caught.value.param == "model"
    with load(berts("rank", "linear")[1]) as llm:
        with pytest.raises(InvalidRequestError, match="is a reranker"):
            llm.embed("a")
        with pytest.raises(InvalidRequestError, match="top_n is 0") as caught:
            llm.rerank("a", ["b"], top_n=0)
        assert caught.value.param == "top_n"
        for documents in ("b", [1]):
            with pytest.raises(InvalidRequestError, match="must be a list of texts"):
                llm.rerank("a", documents)  # type: ignore[arg-type]
        with pytest.raises(PromptTooLongError, match="input 1 has") as caught:
            llm.rerank("a", ["b", "cat " * 64])
        assert caught.value.param == "documents"
    with load(berts("rank", "linear", 3)[1]) as llm, pytest.raises(InvalidRequestError, match="head of 3 labels"):
        llm.rerank("a", ["b"])
    with (
        load(berts("rank", "linear")[1], embedder={"pooling": "cls"}) as llm,
        pytest.raises(InvalidRequestError, match="loaded with pooling cls"),
    ):
        llm.rerank("a", ["b"])


def test_a_models_own_template_makes_the_prompt(tmp_path: Path) -> None:
    bert = TinyBert("rank", "linear")
    bert.rerank_template = "[CLS]{query} on {document}[SEP]"
    path = bert.write(tmp_path / "template.gguf")
    with load(path) as llm:
        score = llm.rerank("cat", ["mat"], raw_scores=True).results[0].score
        expected = bert.logits([CLS, *ids("cat on mat"), SEP])[0]
        assert score == pytest.approx(float(expected), abs=5e-3)
        # Braces in a query are text.
        braces = len(llm.tokenizer.encode("[CLS]{document} on mat[SEP]", add_special=False))
        assert llm.rerank("{document}", ["mat"]).prompt_tokens == braces


# --- AsyncEngine and the runner ---------------------------------------------------------------------------------------


def test_async_requests_are_batched() -> None:
    async def body() -> None:
        engine = await AsyncEngine.load(spec())
        texts = list(QUESTIONS)
        requests = (engine.embed(EmbedRequest(input=[text])) for text in texts)
        answers = await asyncio.gather(*requests)
        together = await engine.embed(EmbedRequest(input=texts))
        np.testing.assert_allclose(np.concatenate([a.matrix() for a in answers]), together.matrix(), atol=1e-2)
        with pytest.raises(InvalidRequestError, match="no classification head"):
            await engine.rerank(RerankRequest(query="a", documents=["b"]))
        assert engine.alive
        await engine.close()
        with pytest.raises(EngineDeadError):
            await engine.embed(EmbedRequest(input=["a"]))

    asyncio.run(body())


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.2])
def test_a_cancelled_request_stops_computing(seconds: float) -> None:
    async def body() -> None:
        engine = await AsyncEngine.load(spec(embedder={"max_num_seqs": 1}))
        await engine.embed(EmbedRequest(input=["warm"]))
        task = asyncio.ensure_future(engine.embed(EmbedRequest(input=[[5] * 500] * 2000)))
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await asyncio.wait_for(engine.embed(EmbedRequest(input=["next"])), 10)) == 1
        await engine.close()

    asyncio.run(body())


def test_close_ends_what_runs() -> None:
    async def body() -> None:
        engine = await AsyncEngine.load(spec(embedder={"max_num_seqs": 1}))
        task = asyncio.ensure_future(engine.embed(EmbedRequest(input=[[5] * 500] * 2000)))
        await asyncio.sleep(0.2)
        await asyncio.wait_for(engine.close(), 10)
        with pytest.raises(EngineDeadError):
            await task

    asyncio.run(body())


def test_a_runner_embeds_and_ranks(berts: Berts) -> None:
    async def body() -> None:
        for pooling, head in (("mean", ""), ("rank", "dense")):
            path = str(berts(pooling, head)[1])
            client = await RunnerClient.start(LoadSpec(name="bert", path=path, context={"n_threads": 1}))
            try:
                assert not client.info.can_generate
                with LLM(path) as llm:
                    if head:
                        ranking = await client.rerank(RerankRequest(query="the cat", documents=DOCUMENTS))
                        assert [r.index for r in ranking.results] == [
                            r.index for r in llm.rerank("the cat", DOCUMENTS).results
                        ]
                    else:
                        answer = await client.embed(EmbedRequest(input=list(DOCUMENTS)))
                        np.testing.assert_allclose(answer.matrix(), llm.embed(list(DOCUMENTS)).matrix(), atol=1e-3)
                        with pytest.raises(PromptTooLongError, match="at most 64"):
                            await client.embed(EmbedRequest(input=["cat " * 99]))
            finally:
                await client.close()

    asyncio.run(body())


def test_a_runner_hears_of_cancelled_calls() -> None:
    async def body() -> None:
        client = await RunnerClient.start(spec(embedder={"max_num_seqs": 1}))
        try:
            task = asyncio.ensure_future(client.embed(EmbedRequest(input=[[5] * 500] * 2000)))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(await asyncio.wait_for(client.embed(EmbedRequest(input=["next"])), 20)) == 1
        finally:
            await client.close()

    asyncio.run(body())


def test_a_model_given_by_its_path_embeds() -> None:
    with LLM(demo_model_path()) as llm:
        assert llm.info.can_generate
        assert llm.info.n_embd == llm.embed("a").dimensions


def test_a_causal_reranker_answers_what_its_softmax_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Qwen3's rerankers: a head over the last token with the labels yes and no."""
    import make_model

    head = np.random.default_rng(0).normal(0, 0.3, (2, make_model.SHAPES["tiny"].n_embd)).astype(np.float32)
    vectors, add_metadata = make_model.vectors, make_model.add_metadata

    def more_metadata(writer: Any, *shape: Any) -> None:
        add_metadata(writer, *shape)
        writer.add_uint32("qwen3.pooling_type", 4)
        writer.add_array("qwen3.classifier.output_labels", ["yes", "no"])
        writer.add_string("tokenizer.chat_template.rerank", "<|im_start|>{query}: {document}<|im_end|>")

    monkeypatch.setattr(make_model, "vectors", lambda shape: [*vectors(shape), ("cls.output.weight", head)])
    monkeypatch.setattr(make_model, "add_metadata", more_metadata)
    make_model.write_model(tmp_path / "reranker.gguf", "tiny", "f16")

    model = _core.Model(tmp_path / "reranker.gguf")
    context = _core.Context(model, _core.ContextParams(n_ctx=256, embeddings=True, pooling="none", n_threads=1))
    with load(tmp_path / "reranker.gguf") as llm:
        assert llm.info.can_generate
        ranking = llm.rerank("the cat", DOCUMENTS)
        for result in ranking.results:
            text = f"<|im_start|>the cat: {DOCUMENTS[result.index]}<|im_end|>"
            batch = _core.Batch()
            for position, token in enumerate(llm.tokenizer.encode(text, add_special=False)):
                batch.add(token, position, [0], True)
            context.kv_cache.clear()
            assert context.decode(batch) == _core.DecodeStatus.OK
            yes, no = np.exp(head @ context.embeddings(-1))
            assert result.score == pytest.approx(yes / (yes + no), abs=0.02)
        assert ranking == llm.rerank("the cat", DOCUMENTS, raw_scores=True)
        assert ranking.results == sorted(ranking.results, key=lambda result: -result.score)
