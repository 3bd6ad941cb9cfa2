"""`LLM`: the blocking API."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_fixtures import ENDLESS, LONG_ANSWER, LONG_QUESTION, QUESTIONS, chat, spec

from shimmy import LLM, ChatPrompt, demo_model_path
from shimmy.errors import (
    EngineDeadError,
    InvalidRequestError,
    ModelLoadError,
    ModelNotFoundError,
    PromptTooLongError,
    QueueFullError,
    TemplateError,
)

WHO = "Who are you?"
THINKING = """{%- for message in messages %}
    {{- "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|im_start|>assistant\\n" + ("<think>\\n" if enable_thinking else "<think>\\n\\n</think>\\n\\n") }}
{%- endif %}"""


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(spec(adapters=True)) as loaded:
        yield loaded


def said(question: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def idle(llm: LLM) -> bool:
    stats = llm.stats()
    return stats.running + stats.waiting == 0


def test_a_path_is_all_it_takes() -> None:
    seen: list[float] = []
    with LLM(str(demo_model_path()), progress=seen.append) as llm:
        assert llm.info.name == "shimmy-mini"
        assert (llm.info.architecture, llm.info.n_vocab, llm.info.n_ctx) == ("llama", 4096, 2048)
        assert llm.generate(chat(WHO), temperature=0.0, max_tokens=2).text == QUESTIONS[WHO][:4]
        assert llm.tokenizer.decode(llm.tokenizer.encode("Zürich 🌧")) == "Zürich 🌧"
    assert seen[-1] == 1.0
    assert seen == sorted(seen)


def test_text_tokens_and_conversations_are_prompts(llm: LLM) -> None:
    text = f"<|im_start|>user\n{WHO}<|im_end|>\n<|im_start|>assistant\n"
    for prompt in (text, llm.tokenizer.encode(text), ChatPrompt(messages=said(WHO))):
        answer = llm.generate(prompt, temperature=0.0)
        assert "tiny demo model" in answer.text
        assert answer.finish_reason == "stop"


def test_what_is_said_for_embeddings_leaves_answers_alone() -> None:
    context = {"n_ctx": 2048, "embeddings": True, "pooling": "mean", "attention": "non-causal"}
    long = [*chat(LONG_QUESTION) * 30, *chat("Who are you?")]
    assert 512 < len(long) < 2000
    with LLM(spec(context={"n_ctx": 2048})) as plain, LLM(spec(context=context)) as other:
        for prompt in (chat("Who are you?"), long):
            wanted = plain.generate(prompt, max_tokens=20, temperature=0)
            assert other.generate(prompt, max_tokens=20, temperature=0).text == wanted.text


def test_a_stream_adds_up_to_the_whole(llm: LLM) -> None:
    whole = llm.chat(said(LONG_QUESTION), temperature=0.0)
    outputs = list(llm.stream(ChatPrompt(messages=said(LONG_QUESTION)), temperature=0.0))
    assert "".join(output.text for output in outputs) == whole.text == LONG_ANSWER
    assert [token for output in outputs for token in output.token_ids] == whole.token_ids
    assert [output.finished for output in outputs] == [False] * (len(outputs) - 1) + [True]
    first, last = outputs[0].usage, outputs[-1].usage
    assert [output.usage is None for output in outputs[1:-1]] == [True] * (len(outputs) - 2)
    assert first is not None
    assert last is not None
    assert first.prompt_tokens == last.prompt_tokens > 0
    assert last.completion_tokens == whole.usage.completion_tokens == len(whole.token_ids) + 1
    assert len(outputs) > 3  # drafts let many tokens come at once


def test_stop_reasons(llm: LLM) -> None:
    by_text = llm.chat(said(LONG_QUESTION), temperature=0.0, stop=[", 4"])
    assert (by_text.text, by_text.finish_reason, by_text.stop_reason) == ("1, 2, 3", "stop", ", 4")
    four = llm.tokenizer.encode("4")[0]
    by_token = llm.chat(said(LONG_QUESTION), temperature=0.0, stop_token_ids=[four])
    assert (by_token.text, by_token.finish_reason, by_token.stop_reason) == ("1, 2, 3, ", "stop", four)
    by_length = llm.chat(said(LONG_QUESTION), temperature=0.0, max_tokens=4)
    assert (by_length.text, by_length.finish_reason, by_length.stop_reason) == ("1, 2", "length", None)


def test_seeds_make_sampling_repeatable(llm: LLM) -> None:
    letters = dict.fromkeys((llm.tokenizer.encode(letter)[0] for letter in "abcdefgh"), 1e9)
    draws = [llm.chat(said(WHO), seed=seed, logit_bias=letters, max_tokens=24).text for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert set("".join(draws)) <= set("abcdefgh")


def test_adapters_by_name(llm: LLM) -> None:
    assert llm.info.adapters == ["pirate", "terse"]
    assert llm.chat(said(WHO), temperature=0.0, lora={"pirate": 1.0}).text.startswith("Arr, ")
    with pytest.raises(ModelNotFoundError, match="there are: pirate, terse"):
        llm.chat(said(WHO), lora={"viking": 1.0})


def test_tool_calls_in_pieces(llm: LLM) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]
    prompt = ChatPrompt(messages=said("What is the weather in Paris?"), tools=tools)
    outputs = list(llm.stream(prompt, temperature=0.0, max_tokens=60))
    parts = [part for output in outputs for part in output.tool_calls]
    assert [part.name for part in parts if part.name] == ["get_weather"]
    assert parts[0].id
    assert all(part.id is None for part in parts[1:])
    assert json.loads("".join(part.arguments for part in parts)) == {"city": "Paris"}
    assert "".join(output.text for output in outputs) == ""
    assert outputs[-1].finish_reason == "tool_calls"


def test_reasoning_is_told_from_the_answer() -> None:
    """The demo model never closes its thoughts, so all that it says in an open block is reasoning."""
    with LLM(spec(chat_template=THINKING)) as llm:
        prompt = ChatPrompt(messages=said(WHO))
        outputs = list(llm.stream(prompt, temperature=0.0, max_tokens=8))
        plain = llm.generate(
            f"<|im_start|>user\n{WHO}<|im_end|>\n<|im_start|>assistant\n<think>\n", temperature=0.0, max_tokens=8
        )
        assert "".join(output.reasoning for output in outputs).strip() == plain.text.strip() != ""
        assert "".join(output.text for output in outputs) == ""
        usage = outputs[-1].usage
        assert usage is not None and usage.reasoning_tokens == usage.completion_tokens == 8
        assert llm.generate(prompt, temperature=0.0, max_tokens=8).reasoning.strip() == plain.text.strip()
        closed = ChatPrompt(messages=said(WHO), enable_thinking=False)
        answer = llm.generate(closed, temperature=0.0, max_tokens=8)
        assert answer.reasoning == ""
        assert answer.usage is not None and answer.usage.reasoning_tokens == 0
        assert answer.text != ""


def test_text_is_whole_characters_at_every_step(llm: LLM) -> None:
    outputs = list(llm.stream(chat("Show me a fox emoji"), temperature=0.0))
    assert [output.text for output in outputs if output.text] == ["🦊"]
    assert sum(len(output.token_ids) for output in outputs) == 3


@pytest.mark.parametrize("n_read", [0, 1, 5])
def test_closing_the_iterator_cancels(llm: LLM, n_read: int) -> None:
    stream = llm.stream(chat(LONG_QUESTION), temperature=0.0, ignore_eos=True)
    for _ in range(n_read):
        next(stream)
    stream.close()
    until(lambda: idle(llm))
    assert list(stream) == []
    stream.close()


def test_dropping_the_iterator_cancels(llm: LLM) -> None:
    for n_read in (0, 2):
        stream = llm.stream(chat(LONG_QUESTION), temperature=0.0, ignore_eos=True)
        for _ in range(n_read):
            next(stream)
        del stream
        gc.collect()
        until(lambda: idle(llm))


def test_leaving_the_block_of_a_stream_cancels(llm: LLM) -> None:
    with llm.stream(chat(LONG_QUESTION), temperature=0.0, ignore_eos=True) as stream:
        next(stream)
    until(lambda: idle(llm))


def test_an_error_in_the_loop_body_cancels(llm: LLM) -> None:
    with pytest.raises(ZeroDivisionError):
        for output in llm.stream(chat(LONG_QUESTION), temperature=0.0, ignore_eos=True):
            assert len(output.token_ids) // 0
    until(lambda: idle(llm))


def test_threads_share_a_model(llm: LLM) -> None:
    answers: dict[str, str] = {}

    def ask(question: str) -> None:
        answers[question] = llm.chat(said(question), temperature=0.0).text

    threads = [threading.Thread(target=ask, args=(question,)) for question in QUESTIONS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == QUESTIONS


BAD: list[tuple[dict[str, Any], str]] = [
    ({"temprature": 0.5}, "temprature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": -1.0}, "temperature"),
    ({"top_k": 1.5}, "top_k"),
    ({"max_tokens": -2}, "max_tokens"),
    ({"max_tokens": 2**31}, "max_tokens"),
    ({"logprobs": 2**63}, "logprobs"),
    ({"stop": [""]}, "stop"),
    ({"stop": "three"}, "stop"),
    ({"stop_token_ids": [2**40]}, "stop_token_ids"),
    ({"stop_token_ids": [-1]}, "stop_token_ids"),
    ({"lora": {"pirate": float("nan")}}, "lora"),
    ({"prompt": []}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": [1, 2**31]}, "prompt"),
    ({"prompt": [1, -(2**63)]}, "prompt"),
]


def test_bad_options_name_their_field(llm: LLM) -> None:
    for options, field in BAD:
        with pytest.raises(InvalidRequestError) as caught:
            llm.stream(**{"prompt": WHO, **options})
        assert caught.value.param == field, (options, caught.value)
    assert idle(llm)
    assert llm.generate(chat(WHO), temperature=0.0).text == QUESTIONS[WHO]


def test_a_prompt_that_does_not_fit_has_both_numbers(llm: LLM) -> None:
    tokens = llm.tokenizer.encode("hello " * 3000)
    with pytest.raises(PromptTooLongError, match=f"{len(tokens)} tokens and the context holds 2048") as caught:
        llm.generate(tokens)
    assert (caught.value.n_prompt_tokens, caught.value.n_ctx) == (len(tokens), 2048)


def test_messages_that_the_template_refuses(llm: LLM) -> None:
    with pytest.raises((InvalidRequestError, TemplateError)):
        llm.chat([{"role": "user"}])
    with pytest.raises(InvalidRequestError):
        llm.chat([])
    with pytest.raises(InvalidRequestError, match="there are no tools"):
        llm.generate(ChatPrompt(messages=said(WHO), tool_choice="required"))


def test_loading_errors(tmp_path: Any) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing else")
    for path in (broken, tmp_path / "missing.gguf"):
        with pytest.raises(ModelLoadError, match=path.name):
            LLM(path)
    with pytest.raises(InvalidRequestError, match="n_contexts"):
        LLM(spec(context={"n_contexts": 3}))
    with pytest.raises(TemplateError):
        LLM(spec(chat_template="{% if %}"))


def test_a_full_queue() -> None:
    with LLM(spec(engine={"max_num_seqs": 1, "max_waiting": 1})) as llm:
        streams = [llm.stream(chat(LONG_QUESTION), temperature=0.0, **ENDLESS)]
        next(streams[0])
        streams.append(llm.stream(chat(LONG_QUESTION), temperature=0.0))
        with pytest.raises(QueueFullError):
            llm.stream(chat(WHO))
        streams[0].close()
        assert "".join(output.text for output in streams[1]) == LONG_ANSWER


def test_closing_ends_what_runs_and_refuses_what_comes() -> None:
    llm = LLM(spec())
    stream = llm.stream(chat(LONG_QUESTION), temperature=0.0, **ENDLESS)
    next(stream)
    llm.close()
    assert list(stream)[-1].finish_reason == "cancelled"
    with pytest.raises(EngineDeadError, match="closed"):
        llm.generate(WHO)
    llm.close()


def test_a_dropped_model_ends_its_threads() -> None:
    before = {*threading.enumerate()}
    llm = LLM(spec())
    stream = llm.stream(chat(LONG_QUESTION), temperature=0.0, **ENDLESS)
    next(stream)
    assert len({*threading.enumerate()} - before) == 1
    del llm
    gc.collect()
    assert not {*threading.enumerate()} - before
    assert list(stream)[-1].finish_reason == "cancelled"


@pytest.mark.parametrize("reading", ["for _ in stream: break", "del stream", "stream = stream"])
def test_python_may_end_with_a_model_open(reading: str) -> None:
    script = (
        "from shimmy import LLM, LoadSpec, demo_model_path\n"
        "llm = LLM(LoadSpec(name='mini', path=str(demo_model_path()), context={'n_threads': 1}))\n"
        "stream = llm.stream('Count to 100.', ignore_eos=True)\n"
        f"{reading}\n"
        "print('done')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    # A backend that finds no device says so at the start.
    told = [line for line in ended.stderr.splitlines() if "platform IDs not available" not in line]
    assert (ended.returncode, ended.stdout, told) == (0, "done\n", [])
