"""`context_policy` on a real model: what is given to it is a conversation that it understands, and usage says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from engine_fixtures import LONG_QUESTION, QUESTIONS, spec

from shimmy import LLM, AsyncEngine, ChatPrompt, GenerateRequest
from shimmy.context_policy import POLICIES, without_middle
from shimmy.errors import InvalidRequestError, PromptTooLongError
from shimmy.output import CacheDiagnosis, ContextUse, Usage
from shimmy.samples import nth_seed

N_CTX = 512
WHO = "Who are you?"
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(spec(adapters=True, context={"n_ctx": N_CTX}, engine={"max_num_seqs": 2})) as loaded:
        yield loaded


def turns(n: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are Shimmy Mini, a tiny demo model."}]
    for asked, answered in [*QUESTIONS.items()][:n]:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return messages


def question(n: int, text: str = WHO) -> list[dict[str, Any]]:
    return [*turns(n), {"role": "user", "content": text}]


def context_of(llm: LLM, messages: list[dict[str, Any]], **options: Any) -> tuple[str, ContextUse]:
    answer = llm.chat(messages, temperature=0, **options)
    assert answer.usage.context is not None
    return answer.text, answer.usage.context


def diagnosis_of(llm: LLM, messages: list[dict[str, Any]], **options: Any) -> CacheDiagnosis | None:
    return llm.chat(messages, max_tokens=1, cache_diagnostics=True, **options).usage.cache_diagnosis


def test_a_conversation_loses_its_oldest_turns(llm: LLM) -> None:
    messages = question(16)
    text, context = context_of(llm, messages, context_policy="truncate_middle", max_tokens=64)
    assert text == QUESTIONS[WHO]
    assert context.prompt_tokens == context.kept + context.dropped > N_CTX - 64 >= context.kept
    assert context.dropped_messages > 0
    assert context.dropped_messages % 2 == 0
    left = [messages[0], *messages[1 + context.dropped_messages :]]
    assert llm.chat(left, temperature=0, max_tokens=64).usage.prompt_tokens == context.kept


def test_the_default_is_an_error_with_both_numbers(llm: LLM) -> None:
    for options in ({}, {"context_policy": "error"}, {"context_policy": "shift"}):
        with pytest.raises(PromptTooLongError, match=r"the prompt has \d+ tokens and the context holds 512") as caught:
            llm.chat(question(16) * 2, **options)
        assert (caught.value.n_prompt_tokens > N_CTX, caught.value.n_ctx) == (True, N_CTX)


def test_what_fits_is_not_touched(llm: LLM) -> None:
    plain = llm.chat(question(3), temperature=0)
    assert plain.usage.context is None
    for policy in POLICIES[1:]:
        text, context = context_of(llm, question(3), context_policy=policy)
        n = plain.usage.prompt_tokens
        assert (text, context) == (plain.text, ContextUse(policy, n, n, 0))


def test_the_next_turn_finds_the_beginning_in_the_cache(llm: LLM) -> None:
    options = {"temperature": 0, "context_policy": "truncate_middle", "max_tokens": 48}
    messages = question(16)
    first = llm.chat(messages, **options)
    messages += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "76 + 675"}]
    second = llm.chat(messages, **options)
    assert second.text == QUESTIONS["76 + 675"]
    assert first.usage.context is not None
    assert second.usage.context is not None
    if first.usage.context.dropped_messages == second.usage.context.dropped_messages:
        assert second.usage.cached_tokens > first.usage.prompt_tokens


def test_a_long_document_loses_its_middle(llm: LLM) -> None:
    text = "begin " + " ".join(f"word{i}" for i in range(1000)) + " end"
    messages = [*turns(1), {"role": "user", "content": text}]
    _, context = context_of(llm, messages, context_policy="truncate_middle", max_tokens=20)
    assert context.dropped_messages == 2
    assert N_CTX - 20 - 40 < context.kept <= N_CTX - 20
    fitted = llm._model.prepare(
        GenerateRequest(
            request_id="1", prompt=ChatPrompt(messages=messages), max_tokens=20, context_policy="truncate_middle"
        )
    ).fitted
    shown = llm.tokenizer.decode(fitted.tokens, unparse_special=True)
    assert shown.startswith(
        "<|im_start|>system\nYou are Shimmy Mini, a tiny demo model.<|im_end|>\n<|im_start|>user\nbegin"
    )
    assert shown.endswith(" end<|im_end|>\n<|im_start|>assistant\n")
    assert fitted.kept == [0, 3]


def test_calls_stay_with_their_results(llm: LLM) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [{"role": "user", "content": WHO}]
    for n in range(12):
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": f"seen {n} " * 20},
        ]
    prompt = ChatPrompt(messages=messages, tools=[TOOL])
    request = GenerateRequest(request_id="1", prompt=prompt, max_tokens=20, context_policy="truncate_middle")
    fitted = llm._model.prepare(request).fitted
    shown = llm.tokenizer.decode(fitted.tokens, unparse_special=True)
    assert "# Tools" in shown
    assert WHO in shown
    assert "seen 11" in shown
    calls = shown.split("<|im_start|>user", 1)[1]
    assert calls.count("<tool_call>\n") == calls.count("<tool_response>\n") > 0
    assert fitted.kept[:1] == [0]
    assert fitted.kept[1] % 2 == 1


def test_what_must_be_kept_and_is_too_long_is_an_error(llm: LLM) -> None:
    messages = [{"role": "system", "content": "rule " * 600}, {"role": "user", "content": WHO}]
    with pytest.raises(PromptTooLongError, match=r"context holds 512.* shorten the system prompt") as caught:
        llm.chat(messages, context_policy="truncate_middle")
    assert (caught.value.n_prompt_tokens > 600, caught.value.n_ctx) == (True, N_CTX)


@pytest.mark.parametrize("n_keep", [None, 5, -1])
@pytest.mark.parametrize("as_tokens", [True, False])
def test_a_raw_prompt_keeps_both_ends(llm: LLM, n_keep: int | None, as_tokens: bool) -> None:
    text = " ".join(str(n) for n in range(400))
    tokens = llm.tokenizer.encode(text)
    answer = llm.generate(
        tokens if as_tokens else text, max_tokens=10, context_policy="truncate_middle", n_keep=n_keep, temperature=0
    )
    assert answer.usage.context == ContextUse("truncate_middle", len(tokens), N_CTX - 10, len(tokens) - N_CTX + 10)
    expected = without_middle(tokens, N_CTX - 10, n_keep)
    assert llm.generate(expected, max_tokens=10, temperature=0).token_ids == answer.token_ids


def test_an_answer_goes_on_and_says_so(llm: LLM) -> None:
    answer = llm.chat(
        question(0, LONG_QUESTION), temperature=0, ignore_eos=True, max_tokens=700, context_policy="shift"
    )
    context = answer.usage.context
    assert context is not None
    assert (len(answer.token_ids), answer.finish_reason) == (700, "length")
    assert (context.dropped, context.shifts > 0, context.shifted > 200) == (0, True, True)


def test_a_long_prompt_keeps_its_system_prompt_and_tools_when_shifted(llm: LLM) -> None:
    prompt = ChatPrompt(messages=question(12), tools=[TOOL])
    request = GenerateRequest(request_id="1", prompt=prompt, context_policy="shift")
    fitted = llm._model.prepare(request).fitted
    assert fitted.n_keep is not None
    head = llm.tokenizer.decode(fitted.tokens[: fitted.n_keep], unparse_special=True)
    assert head.endswith("<|im_end|>\n<|im_start|>user\n")
    assert '"name": "look"' in head
    short = msgspec.structs.replace(request, prompt=ChatPrompt(messages=question(1)))
    fitted = llm._model.prepare(short).fitted
    assert fitted.n_keep == len(fitted.tokens)
    raw = msgspec.structs.replace(request, prompt=[5] * 300)
    assert llm._model.prepare(raw).fitted.n_keep == 1
    assert llm._model.prepare(msgspec.structs.replace(raw, n_keep=7)).fitted.n_keep == 7


def test_both_at_once(llm: LLM) -> None:
    _, context = context_of(llm, question(16), context_policy="truncate_middle+shift", ignore_eos=True, max_tokens=600)
    assert context.dropped > 0
    assert context.shifts > 0


def test_several_answers_to_one_cut_prompt(llm: LLM) -> None:
    prompt = ChatPrompt(messages=question(16))
    options = {"context_policy": "truncate_middle", "max_tokens": 32}
    answers = llm.samples(prompt, 2, best_of=3, seed=7, **options)
    contexts = {answer.usage.context for answer in answers}
    assert len(contexts) == 1
    seeds = {llm.generate(prompt, seed=nth_seed(7, i), **options).text for i in range(3)}
    assert {answer.text for answer in answers} <= seeds


def test_an_unknown_policy(llm: LLM) -> None:
    with pytest.raises(InvalidRequestError, match="one of error, truncate_middle") as caught:
        llm.generate("x", context_policy="drop")
    assert caught.value.param == "context_policy"


def test_where_a_conversation_left_the_cache(llm: LLM) -> None:
    messages = question(6)
    llm.chat(messages, max_tokens=1)
    messages[5] = {"role": "user", "content": "Another question."}
    assert diagnosis_of(llm, messages) == CacheDiagnosis(5, "user", "message")
    assert diagnosis_of(llm, messages) is None  # all that may be came from the cache
    assert diagnosis_of(llm, [*messages, *messages[4:6]]) == CacheDiagnosis(len(messages), "assistant", "message")
    messages[0] = {"role": "system", "content": "You are terse."}
    assert llm.chat(messages, max_tokens=1).usage.cache_diagnosis is None  # not asked for
    messages[0] = {"role": "system", "content": "You are not terse."}
    assert diagnosis_of(llm, messages) == CacheDiagnosis(0, "system", "system")
    assert diagnosis_of(llm, messages, lora={"pirate": 1.0}) == CacheDiagnosis(0, "system", "adapter")
    assert diagnosis_of(llm, messages, prompt_logprobs=0) == CacheDiagnosis(0, "system", "disabled")


def test_where_other_prompts_left_the_cache(llm: LLM) -> None:
    text = "One two three four five six seven."
    assert llm.generate(text, max_tokens=1, tenant="a").usage.cache_diagnosis is None
    for prompt in (text + " Eight.", llm.tokenizer.encode(text + " Nine.")):
        usage = llm.generate(prompt, max_tokens=1, tenant="a", cache_diagnostics=True).usage
        assert usage.cache_diagnosis == CacheDiagnosis(None, None, "prompt")
    usage = llm.generate(text, max_tokens=1, tenant="b", cache_diagnostics=True).usage
    assert usage.cache_diagnosis == CacheDiagnosis(None, None, "new")


def test_what_was_dropped_is_why_the_rest_is_not_cached(llm: LLM) -> None:
    llm.chat(question(8), max_tokens=1, tenant="c")
    diagnosis = diagnosis_of(llm, question(16), tenant="c", context_policy="truncate_middle")
    assert diagnosis is not None
    assert (diagnosis.role, diagnosis.reason) == ("user", "truncated")
    assert diagnosis.message is not None
    assert diagnosis.message > 1


def test_over_the_event_loop() -> None:
    async def usages() -> list[Usage | None]:
        engine = await AsyncEngine.load(spec(context={"n_ctx": N_CTX}, engine={"max_num_seqs": 2}))
        try:
            prompt = ChatPrompt(messages=question(16))
            request = GenerateRequest(request_id="1", prompt=prompt, max_tokens=8, context_policy="truncate_middle")
            async with engine.stream(request) as stream:
                return [output.usage async for output in stream]
        finally:
            await engine.close()

    first, *_, last = asyncio.run(usages())
    assert first is not None
    assert last is not None
    assert first.context == last.context
    assert first.context is not None
    assert first.context.dropped > 0
