"""`Session`: tokens whose KV cells are forked, cut, pinned, saved and shifted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_fixtures import LONG_ANSWER, LONG_QUESTION, chat, long_chat, spec

from shimmy import LLM, demo_adapter_paths
from shimmy.errors import InvalidRequestError, ModelNotFoundError, PromptTooLongError, ShimmyError

WHO = "Who are you?"


@pytest.fixture
def llm() -> Iterator[LLM]:
    with LLM(spec(context={"n_ctx": 1024}, engine={"max_num_seqs": 4})) as loaded:
        yield loaded


def test_each_turn_goes_on_from_the_cells_of_the_last(llm: LLM) -> None:
    with llm.session() as session:
        first = session.generate(chat(LONG_QUESTION), max_tokens=30, temperature=0)
        n = len(session.tokens)
        assert session.tokens == chat(LONG_QUESTION) + first.token_ids
        second = session.generate(temperature=0)
        assert first.text + second.text == LONG_ANSWER
        assert second.usage.cached_tokens >= n - 1
        assert session.text.endswith(LONG_ANSWER)


def test_text_gets_its_bos_once(llm: LLM) -> None:
    with llm.session() as session:
        session.append("Once upon")
        session.append(" a time")
        assert session.tokens == llm.tokenizer.encode("Once upon") + llm.tokenizer.encode(" a time", add_special=False)


def test_forks_share_and_are_independent(llm: LLM) -> None:
    with llm.session(long_chat(WHO, 150)) as session:
        session.generate(max_tokens=4, temperature=0)
        tokens = list(session.tokens)
        other = session.fork()
        answer = other.generate([5, 6, 7], max_tokens=3, temperature=0)
        assert answer.usage.cached_tokens >= len(tokens) - 1
        assert session.tokens == tokens
        assert other.tokens[: len(tokens)] == tokens
        assert session.generate(temperature=0, max_tokens=3).usage.cached_tokens >= len(tokens) - 1


def test_truncate_and_rewind(llm: LLM) -> None:
    with llm.session(long_chat(WHO, 150)) as session:
        whole = session.generate(temperature=0)
        n = len(session.tokens)
        session.rewind(len(whole.token_ids))
        again = session.generate(temperature=0)
        assert again.text == whole.text
        assert again.usage.cached_tokens == n - len(whole.token_ids) - 1
        session.truncate(100)
        assert session.generate([5], max_tokens=1).usage.cached_tokens == 100
        for bad in (-1, len(session.tokens) + 1):
            before = list(session.tokens)
            for call in (session.truncate, session.rewind):
                with pytest.raises(InvalidRequestError) as caught:
                    call(bad)
                assert caught.value.param == "n_tokens"
            assert session.tokens == before
        session.truncate(0)
        assert session.tokens == []


def crowd_out(llm: LLM) -> None:
    """Fill the cache with others."""
    for i in range(6):
        llm.generate([10 + i] * 400, max_tokens=1, temperature=0)


@pytest.mark.parametrize("pinned", [True, False])
def test_pinned_cells_stay(pinned: bool) -> None:
    loaded = LLM(spec(context={"n_ctx": 1024}, engine={"max_num_seqs": 4, "cache_ram_mib": 0}))
    with loaded as llm, llm.session(long_chat(WHO, 150)) as session:
        n = len(session.tokens)
        if pinned:
            session.pin()
            session.pin()
        else:
            session.generate(max_tokens=1)
            session.rewind(1)
        crowd_out(llm)
        answer = session.generate(max_tokens=1, temperature=0)
        assert answer.usage.cached_tokens == (n - 1 if pinned else 0)
        session.unpin()
        session.unpin()


def test_too_much_cannot_be_pinned_and_the_old_pin_stays(llm: LLM) -> None:
    with llm.session(long_chat(WHO, 150)) as session:
        session.pin()
        session.append([7] * 600)
        before = list(session.tokens)
        with pytest.raises(InvalidRequestError, match="pinned"):
            session.pin()
        assert session.tokens == before
        session.truncate(150)
        crowd_out(llm)
        assert session.generate(max_tokens=1).usage.cached_tokens == 149


def test_a_request_that_needs_all_cells_takes_pins_and_closing_is_no_error(llm: LLM) -> None:
    with llm.session(long_chat(WHO, 150)) as session, session.fork() as other:
        session.pin()
        other.pin()
        whole = llm.generate([9] * 700, ignore_eos=True, temperature=0)
        assert whole.usage.completion_tokens == 1024 - 700
        assert session.generate(max_tokens=1).finish_reason == "length"


def test_save_and_load(llm: LLM, tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    with llm.session(long_chat(WHO, 150)) as session:
        whole = session.generate(temperature=0, max_tokens=6)
        session.save(path)
        tokens = list(session.tokens)
        rest = session.generate(temperature=0)
    assert [one.name for one in tmp_path.iterdir()] == ["state.bin"]
    with LLM(spec(context={"n_ctx": 1024}, engine={"max_num_seqs": 4})) as second, second.session([1, 2]) as session:
        session.load(path)
        assert session.tokens == tokens
        again = session.generate(temperature=0)
        assert again.usage.cached_tokens == len(tokens) - 1
        assert whole.text + again.text == whole.text + rest.text


def test_damaged_files_leave_it_unchanged(llm: LLM, tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    with llm.session(long_chat(WHO, 100)) as session:
        session.save(path)
        tokens = list(session.tokens)
        good = path.read_bytes()
        flipped = [
            bytes([*good[:at], good[at] ^ 1, *good[at + 1 :]]) for at in (0, 9, 40, len(good) // 2, len(good) - 1)
        ]
        for bad in (b"", good[:10], good[:-1], good[: len(good) // 2], good + b"x", b"GGUF" * 100, *flipped):
            path.write_bytes(bad)
            with pytest.raises(InvalidRequestError):
                session.load(path)
            assert session.tokens == tokens
        with pytest.raises(FileNotFoundError):
            session.load(tmp_path / "none")
        with pytest.raises(OSError, match=r"."):
            session.save(tmp_path / "none" / "state.bin")
        path.write_bytes(good)
        session.load(path)
        assert session.tokens == tokens


def test_a_state_of_another_adapter_set_is_refused(tmp_path: Path) -> None:
    adapters = {name: str(path) for name, path in demo_adapter_paths().items()}
    path = tmp_path / "state.bin"
    with LLM(spec(context={"n_ctx": 512}, adapters=True)) as llm:
        assert adapters
        with llm.session(chat(WHO), lora={"pirate": 1.0}) as session:
            session.save(path)
        with llm.session([1], lora={"terse": 1.0}) as session:
            with pytest.raises(InvalidRequestError):
                session.load(path)
            assert session.tokens == [1]
        with llm.session([1], lora={"nope": 1.0}) as session, pytest.raises(ModelNotFoundError):
            session.generate(max_tokens=1)
        with llm.session(chat(WHO), lora={"pirate": 1.0}) as session:
            session.pin()
            llm.engine.unload_adapter("pirate")


def test_shift(llm: LLM) -> None:
    with llm.session(long_chat(WHO, 150)) as session:
        tokens = list(session.tokens)
        session.shift(10, 30)
        assert session.tokens == tokens[:10] + tokens[40:]
        answer = session.generate(max_tokens=4, temperature=0)
        assert answer.usage.cached_tokens == len(tokens) - 30 - 1
        before = list(session.tokens)
        for n_keep, n_discard in ((0, len(before) + 1), (len(before), 1), (0, 0)):
            with pytest.raises(InvalidRequestError):
                session.shift(n_keep, n_discard)
            assert session.tokens == before


def test_shift_of_a_full_context(llm: LLM) -> None:
    with llm.session(chat(LONG_QUESTION)) as session:
        assert session.generate(ignore_eos=True, temperature=0).finish_reason == "length"
        full = list(session.tokens)
        assert len(full) == 1024
        with pytest.raises(PromptTooLongError):
            session.generate(max_tokens=1)
        assert session.tokens == full
        session.shift(4, 512)
        assert session.tokens == full[:4] + full[516:]
        answer = session.generate(max_tokens=8, ignore_eos=True, temperature=0)
        assert answer.usage.completion_tokens == 8
        assert answer.usage.cached_tokens == len(full) - 512 - 1


def test_shift_of_a_pinned_session(llm: LLM) -> None:
    with llm.session(long_chat(WHO, 150)) as session:
        session.pin()
        tokens = list(session.tokens)
        session.shift(0, 50)
        assert session.tokens == tokens[50:]
        assert session.generate(max_tokens=1, temperature=0).usage.cached_tokens == len(tokens) - 51


def test_errors_of_generate_leave_it_unchanged(llm: LLM) -> None:
    with llm.session(chat(WHO)) as session:
        tokens = list(session.tokens)
        for prompt, options in (
            ("x", {"top_p": 9.0}),
            ("x", {"min_tokens": -1}),
            ("x", {"token_healing": True}),
            ([10**6], {}),
            ([5] * 2000, {}),
        ):
            with pytest.raises(ShimmyError):
                session.generate(prompt, **options)
            assert session.tokens == tokens


def test_an_empty_session(llm: LLM, tmp_path: Path) -> None:
    with llm.session() as session:
        for call in (session.pin, lambda: session.save(tmp_path / "x"), lambda: session.shift(0, 1), session.generate):
            with pytest.raises(InvalidRequestError):
                call()
        assert session.tokens == []
        assert session.text == ""


def test_tenants_share_nothing(llm: LLM) -> None:
    with llm.session(long_chat(WHO, 150), tenant="a") as one, llm.session(long_chat(WHO, 150), tenant="b") as other:
        one.generate(max_tokens=1)
        assert other.generate(max_tokens=1).usage.cached_tokens == 0


def test_closing_after_the_model() -> None:
    llm = LLM(spec(context={"n_ctx": 512}))
    session = llm.session(chat(WHO))
    session.pin()
    llm.close()
    session.close()
