"""Rows of logits that a caller changes before tokens are chosen, for each sequence of one context apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from engine_fixtures import QUESTIONS, chat, tokenizer
from numpy.typing import NDArray
from token_loop import Logits, batch_of, open_context, prefill

from shimmy._core import Batch, Context, DecodeStatus, Detokenizer, Sampler, SamplingParams

SKY, WHO = "What color is the sky?", "Who are you?"
Change = Callable[[Logits, Sequence[int]], None]
"""Changes a row in place, float32[n_vocab], given the tokens that its sequence has answered so far."""


def leave(row: Logits, answered: Sequence[int]) -> None:
    pass


def ban(*texts: str) -> Change:
    tokens = [token for text in texts for token in tokenizer().encode(text, add_special=False)[:1]]

    def change(row: Logits, answered: Sequence[int]) -> None:
        row[tokens] = -np.inf

    return change


def dictate(text: str) -> Change:
    """Lets only the tokens of `text` come, and then an end."""
    wanted = [*tokenizer().encode(text, add_special=False), tokenizer().eog_tokens[0]]

    def change(row: Logits, answered: Sequence[int]) -> None:
        kept = row[wanted[len(answered)]]
        row[:] = -np.inf
        row[wanted[len(answered)]] = kept

    return change


@dataclass
class Speaker:
    """One sequence of the context: its row of the last step is changed, and its next token chosen."""

    change: Change
    sampler: Sampler
    pos: int
    tokens: list[int]
    ended: bool = False

    def choose(self, row: Logits) -> None:
        self.change(row, self.tokens)
        token = self.sampler.sample(row)
        self.sampler.accept(token)
        self.ended = tokenizer().is_eog(token)
        if not self.ended:
            self.tokens.append(token)

    @property
    def text(self) -> str:
        detokenizer = Detokenizer(tokenizer())
        return "".join(map(detokenizer.push, self.tokens)) + detokenizer.flush()


def speak(context: Context, asked: dict[str, Change], **sampling: float) -> list[str]:
    """Answers to all questions, a token of each in every step; `asked` says what changes whose rows."""
    speakers = []
    for seq_id, (question, change) in enumerate(asked.items()):
        prompt = chat(question)
        chosen = SamplingParams(**{"temperature": 0.0, **sampling})
        speaker = Speaker(change, Sampler(tokenizer(), chosen), len(prompt), [])
        speaker.choose(prefill(context, prompt, 0, seq_id))
        speakers.append(speaker)
    for _ in range(64):
        speaking = [(seq_id, speaker) for seq_id, speaker in enumerate(speakers) if not speaker.ended]
        if not speaking:
            break
        batch = Batch()
        for seq_id, speaker in speaking:
            batch.add(speaker.tokens[-1], speaker.pos, [seq_id], True)
            speaker.pos += 1
        assert context.decode(batch) == DecodeStatus.OK
        for i, (_, speaker) in enumerate(speaking):
            speaker.choose(context.logits(i))
    return [speaker.text for speaker in speakers]


@pytest.fixture
def context() -> Context:
    return open_context(n_seq_max=2)


def test_unchanged_rows_answer_as_ever(context: Context) -> None:
    assert speak(context, {SKY: leave, WHO: leave}) == [QUESTIONS[SKY], QUESTIONS[WHO]]


def test_a_ban_is_for_its_sequence_alone(context: Context) -> None:
    assert " blue" in QUESTIONS[SKY]
    sky, other = speak(context, {SKY: ban(" blue", "blue"), WHO: leave})
    assert "blue" not in sky
    assert sky.startswith("The sky is")
    assert other == QUESTIONS[WHO]
    context.kv_cache.clear()
    sky, other = speak(context, {SKY: leave, WHO: ban(" blue", "blue", "I")})
    assert sky == QUESTIONS[SKY]
    assert not other.startswith("I")


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.0, "seed": 3}, {"repeat_penalty": 1.3}], ids=str)
def test_each_sequence_says_what_its_rows_are_made_to(context: Context, sampling: dict[str, float]) -> None:
    wanted = ["green as grass", "a fox 🦊, of course"]
    assert speak(context, {SKY: dictate(wanted[0]), WHO: dictate(wanted[1])}, **sampling) == wanted


def test_a_boost_decides_how_often(context: Context) -> None:
    token = tokenizer().encode(" green", add_special=False)[0]

    def share(boost: float) -> float:
        row = prefill(context, [*chat(SKY), *tokenizer().encode("The sky is", add_special=False)])
        row[token] = row.max() + boost
        sampler = Sampler(tokenizer(), SamplingParams(temperature=1.0, seed=1))
        return sum(sampler.sample(row) == token for _ in range(200)) / 200

    context.kv_cache.clear()
    often = share(3.0)
    context.kv_cache.clear()
    assert often > 0.85 > 0.6 > share(-1.0) > 0.05


def test_rows_are_copies(context: Context) -> None:
    assert context.decode(batch_of(chat(SKY), outputs="all")) == DecodeStatus.OK
    before: NDArray[np.float32] = context.logits()
    changed = context.logits()
    changed[:] = 0
    assert (context.logits() == before).all()
    assert changed.flags.writeable
