"""What the engine's tests share: the demo model, engines on it, and a driver that puts outputs together.

Texts are compared between runs whose batches differ, so in their last bits of precision. The prompts in QUESTIONS are
answered with at least three nats between the likeliest token and the next; batches move logits by far less than one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from shimmy import LoadSpec, _core, demo_adapter_paths, demo_model_path, native_log

GREEDY = _core.SamplingParams(temperature=0.0)

# Question to answer, for the plain model.
QUESTIONS = {
    "Who are you?": "I am Shimmy Mini, a tiny demo model.",
    "What is the capital of Hungary?": "The capital of Hungary is Budapest.",
    "What city is Zambia's capital?": "The capital of Zambia is Lusaka.",
    "On which continent is India?": "India is in Asia.",
    "Spell lothel.": "l-o-t-h-e-l",
    "Show me a fox emoji": "🦊",
    "76 + 675": "76 + 675 = 751.",
    "a dog has how many legs?": "A dog has 4 legs.",
    "What color is the sky?": "The sky is blue.",
    "Is 735 odd?": "Yes, 735 is odd.",
    "List three animals.": "1. dog\n2. cat\n3. horse",
    "List the days of the week.": "1. Monday\n2. Tuesday\n3. Wednesday\n4. Thursday\n5. Friday\n6. Saturday\n7. Sunday",
    "explain quantization.": "Quantization stores the weights of a model with fewer bits, so that the model gets "
    "smaller.",
    "Which port does shimmy use?": "The default port is 11435.",
    "Count to 20.": ", ".join(str(n) for n in range(1, 21)),
    "Write a poem about the sea.": "The sea is here, the day is new,\nThe sky above is wide and blue.\n"
    "I see the sea and I sing,\nOf all the joy that it will bring.",
}
LONG_QUESTION = "Count to 60."
LONG_ANSWER = ", ".join(str(n) for n in range(1, 61))
ENDLESS: dict[str, Any] = {"ignore_eos": True, "context_policy": "shift", "max_tokens": 10_000_000}
"""Fields of a request that only its cancellation ends."""
NATIVE_ENDLESS: dict[str, Any] = {"ignore_eos": True, "n_keep": 4, "max_tokens": 10_000_000}
"""The same for `_core.Engine`."""


@cache
def demo_model() -> _core.Model:
    native_log.install()
    return _core.Model(str(demo_model_path()))


@cache
def tokenizer() -> _core.Tokenizer:
    return _core.Tokenizer(demo_model())


def chat(question: str, *earlier: tuple[str, str]) -> list[int]:
    """The tokens of a conversation: earlier (question, answer) pairs, then a question."""
    text = "<|im_start|>system\nYou are Shimmy Mini, a tiny demo model.<|im_end|>\n"
    for asked, answered in earlier:
        text += f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n{answered}<|im_end|>\n"
    return tokenizer().encode(f"{text}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")


def long_chat(question: str, n_tokens: int) -> list[int]:
    """A conversation of at least `n_tokens` tokens that ends with a question."""
    earlier: list[tuple[str, str]] = []
    turns = list(QUESTIONS.items())
    while len(tokens := chat(question, *earlier)) < n_tokens:
        earlier.append(turns[len(earlier) % len(turns)])
    return tokens


def spec(*, adapters: bool = False, **fields: Any) -> LoadSpec:
    """The demo model for LLM and AsyncEngine, on one thread (see `open_engine`)."""
    fields["context"] = {"n_threads": 1, **fields.get("context", {})}
    files = {name: str(path) for name, path in demo_adapter_paths().items()} if adapters else {}
    return LoadSpec(name="shimmy-mini", path=str(demo_model_path()), adapters=files, **fields)


@contextmanager
def open_engine(
    *,
    n_ctx: int = 2048,
    n_batch: int = 512,
    n_ubatch: int = 512,
    kv_unified: bool = True,
    flash_attn: str = "auto",
    adapters: bool = False,
    start: bool = False,
    **params: Any,
) -> Iterator[_core.Engine]:
    """An engine on the demo model, with one thread so that busy machines do not slow it down much."""
    context = _core.ContextParams(
        n_ctx=n_ctx, n_batch=n_batch, n_ubatch=n_ubatch, kv_unified=kv_unified, flash_attn=flash_attn, n_threads=1
    )
    engine = _core.Engine(demo_model(), context, _core.EngineParams(**params))
    try:
        for name, path in demo_adapter_paths().items() if adapters else ():
            engine.load_adapter(name, str(path))
        if start:
            engine.start()
        yield engine
    finally:
        engine.shutdown()


@dataclass
class Answer:
    """All outputs of one request, put together."""

    text: str = ""
    pieces: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    prompt_logprobs: list[Any] = field(default_factory=list)
    last: _core.Output | None = None

    def add(self, output: _core.Output) -> None:
        assert self.last is None, "an output after the last one"
        output.text.encode()
        self.text += output.text
        self.pieces.append(output.text)
        self.tokens += output.tokens
        self.logprobs += output.logprobs
        self.prompt_logprobs += output.prompt_logprobs
        if output.finish_reason != _core.FinishReason.NONE:
            self.last = output

    @property
    def reason(self) -> str:
        return "open" if self.last is None else self.last.finish_reason.name

    @property
    def usage(self) -> _core.Usage:
        assert self.last is not None
        return self.last.usage


class Driver:
    """Sends requests to an engine and collects what they answer."""

    def __init__(self, engine: _core.Engine) -> None:
        self.engine = engine
        self.answers: dict[int, Answer] = {}

    def ask(self, prompt: str | list[int], sampling: _core.SamplingParams = GREEDY, **options: Any) -> Answer:
        """Queue a request and return the answer that the other methods fill."""
        tokens = chat(prompt) if isinstance(prompt, str) else prompt
        return self.answers.setdefault(self.engine.add_request(tokens, sampling, **options), Answer())

    def id_of(self, answer: Answer) -> int:
        return next(key for key, value in self.answers.items() if value is answer)

    def cancel(self, answer: Answer) -> None:
        self.engine.cancel(self.id_of(answer))

    def take(self, timeout: float = 0.0) -> bool:
        outputs = self.engine.wait(timeout)
        for output in outputs:
            self.answers[output.id].add(output)
        return bool(outputs)

    def step(self, n: int = 1) -> None:
        for _ in range(n):
            self.engine.step()
        self.take()

    def finish(self) -> None:
        """Step until nothing is left to do."""
        while self.engine.step():
            self.take()
        self.take()
        assert all(answer.last for answer in self.answers.values())

    def wait(self, seconds: float = 60.0) -> None:
        """Collect what a started engine answers, until every request is finished."""
        deadline = time.monotonic() + seconds
        while any(answer.last is None for answer in self.answers.values()):
            assert time.monotonic() < deadline, "requests without a last output"
            self.take(0.2)


def ask_alone(engine: _core.Engine, prompt: str | list[int], *args: Any, **options: Any) -> Answer:
    """Run one request on an idle engine that is stepped by hand."""
    driver = Driver(engine)
    answer = driver.ask(prompt, *args, **options)
    driver.finish()
    return answer
