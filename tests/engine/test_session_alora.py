"""Sessions with an activated adapter: cells of before its invocation are the plain model's, and only they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_fixtures import QUESTIONS, chat, long_chat, spec, tokenizer
from lora_files import write_adapter_copy

from shimmy import LLM, demo_adapter_paths
from shimmy.errors import InvalidRequestError

WHO = "Who are you?"
ARR = "Arr, I be Shimmy Mini, a tiny demo model."
LORA = {"piratical": 1.0}
INVOCATION = tokenizer().encode("<|im_start|>assistant\n", add_special=False)
PREFIX = long_chat(WHO, 100)[:-20]  # without an invocation after its end


@pytest.fixture
def llm(tmp_path: Path) -> Iterator[LLM]:
    path = tmp_path / "piratical.gguf"
    write_adapter_copy(demo_adapter_paths()["pirate"], path, adapter__alora__invocation_tokens=[*INVOCATION, 5])
    with LLM(spec(context={"n_ctx": 1024}, engine={"max_num_seqs": 4, "cache_ram_mib": 0})) as loaded:
        loaded.engine.load_adapter("piratical", str(path))
        yield loaded


def invoked(question: str) -> list[int]:
    return [*chat(question), 5]


def test_it_applies_from_its_invocation_on(llm: LLM) -> None:
    with llm.session(PREFIX, lora=LORA) as session, llm.session(PREFIX) as plain:
        plain.generate(max_tokens=1)
        first = session.generate(max_tokens=1)
        assert first.usage.cached_tokens == len(PREFIX) - 1
        session.rewind(1)
        text = session.generate(invoked(WHO), max_tokens=12, temperature=0).text
        assert text == llm.generate([*PREFIX, *invoked(WHO)], max_tokens=12, temperature=0, lora=LORA).text
        assert text != llm.generate([*PREFIX, *invoked(WHO)], max_tokens=12, temperature=0).text


def test_one_of_scale_zero_is_none(llm: LLM, tmp_path: Path) -> None:
    llm.engine.load_adapter("another", str(tmp_path / "piratical.gguf"))
    asked = llm.generate(invoked(WHO), max_tokens=12, temperature=0, lora={**LORA, "another": 0.0})
    assert asked.text == llm.generate(invoked(WHO), max_tokens=12, temperature=0, lora=LORA).text
    plain = llm.generate(invoked(WHO), max_tokens=12, temperature=0, lora={"piratical": 0.0})
    assert plain.text == llm.generate(invoked(WHO), max_tokens=12, temperature=0).text
    llm.engine.save_prefix(invoked(WHO), lora=[("piratical", 0.0)])  # which one that applies later cannot be


def test_what_was_computed_with_it_is_never_taken_for_the_plain_models(llm: LLM) -> None:
    """The answer in its history is read again without the adapter: that applies from the last invocation on."""
    tokens = [*PREFIX, *invoked(WHO)]
    with llm.session(tokens, lora=LORA) as session:
        session.generate(max_tokens=8, temperature=0)
        history = list(session.tokens)
        n_before = len(tokens) - len(INVOCATION) - 1
        for lora in ({}, LORA):
            with llm.session(history, lora=lora) as other:
                again = other.generate(chat("What color is the sky?"), temperature=0, max_tokens=20)
                assert again.usage.cached_tokens == n_before
        assert llm.generate(chat(WHO), temperature=0).text == QUESTIONS[WHO]


def test_what_comes_before_the_invocation_can_be_pinned_saved_and_shifted(llm: LLM, tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    with llm.session(PREFIX, lora=LORA) as session:
        session.pin()
        for token in range(100, 105):
            llm.generate([token] * 400, max_tokens=1)
        assert session.generate(max_tokens=1).usage.cached_tokens == len(PREFIX) - 1
        session.rewind(1)
        session.save(path)
        session.shift(10, 20)
        assert session.tokens == PREFIX[:10] + PREFIX[30:]
        assert session.generate(max_tokens=1).usage.cached_tokens == len(PREFIX) - 21
        session.load(path)
        assert session.tokens == PREFIX


def test_a_state_is_one_of_the_plain_model(llm: LLM, tmp_path: Path) -> None:
    """So an ordinary session takes it, and the other way round."""
    path = tmp_path / "state.bin"
    with llm.session(PREFIX, lora=LORA) as session, llm.session([1]) as plain:
        session.save(path)
        plain.load(path)
        assert plain.tokens == PREFIX
        plain.save(path)
        session.load(path)
    with llm.session([1], lora={"piratical": 1.0}) as session:
        session.load(path)
        answer = session.generate(invoked(WHO), max_tokens=12, temperature=0)
        assert answer.usage.cached_tokens == len(PREFIX)


def test_what_was_computed_with_it_is_refused_with_the_reason(llm: LLM, tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    tokens = [*PREFIX, *invoked(WHO)]
    at = len(tokens) - len(INVOCATION) - 1
    with llm.session(tokens, lora=LORA) as session:
        session.generate(max_tokens=4)
        before = list(session.tokens)
        for call in (session.pin, lambda: session.save(path), lambda: session.shift(4, 8)):
            with pytest.raises(InvalidRequestError, match=f"'piratical' applies from token {at} on") as caught:
                call()
            assert caught.value.param == "tokens"
            assert session.tokens == before
        assert not path.exists()
        session.truncate(at)
        session.pin()
        session.save(path)


def test_a_failed_pin_keeps_the_old_one(llm: LLM) -> None:
    with llm.session(PREFIX, lora=LORA) as session:
        session.pin()
        session.append(invoked(WHO))
        with pytest.raises(InvalidRequestError, match="applies from token"):
            session.pin()
        session.truncate(len(PREFIX))
        for token in range(100, 105):
            llm.generate([token] * 400, max_tokens=1)
        assert session.generate(max_tokens=1).usage.cached_tokens == len(PREFIX) - 1
