"""An engine without a model: it does what the prompt says, so that tests of server and runner know what must happen."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from shimmy import errors
from shimmy.context_policy import shifts, truncates
from shimmy.embedding import Embeddings, EmbedRequest, RankedDocument, Ranking, RerankRequest
from shimmy.model_info import EngineStats, LoadSpec, ModelInfo
from shimmy.output import CacheDiagnosis, ContextUse, RequestOutput, TokenLogprob, ToolCallDelta, Usage
from shimmy.request import ChatPrompt, GenerateRequest

Step: TypeAlias = RequestOutput | Exception | float
"""What a script yields: an output, an error to raise, or seconds to sleep."""

Script: TypeAlias = Callable[[GenerateRequest], Iterator[Step]]

N_CTX = 256


def info_of(name: str) -> ModelInfo:
    return ModelInfo(
        name=name,
        path=f"{name}.gguf",
        architecture="scripted",
        description="scripted 1K",
        n_params=1000,
        size_bytes=2000,
        n_ctx_train=N_CTX,
        n_ctx=N_CTX,
        n_seq_max=4,
        n_vocab=256,
        devices=["CPU"],
        n_layer=2,
        fim_tokens=[1001, 1002, 1003] if name == "m" else [],
    )


def read(path: str) -> bytes:
    """The file; "bad" when there is none."""
    return Path(path).read_bytes() if Path(path).is_file() else b"bad"


def text_of(request: GenerateRequest) -> str:
    """The prompt, or the content of the last message."""
    if isinstance(request.prompt, ChatPrompt):
        return str(request.prompt.messages[-1].get("content") or "")
    if isinstance(request.prompt, list):
        return " ".join(map(str, request.prompt))
    return request.prompt


def say(request: GenerateRequest, words: list[str], *, finish: str = "stop", pause: float = 0.0) -> Iterator[Step]:
    """One output per word, as an engine without stop strings would; `max_tokens` cuts."""
    n_prompt = len(text_of(request).split())
    if request.prompt_logprobs is not None:
        yield RequestOutput(request_id=request.request_id, prompt_logprobs=prompt_logprobs(request))
    limit = len(words) if request.max_tokens is None else min(len(words), request.max_tokens)
    for index, word in enumerate(words[:limit]):
        if pause:
            yield pause
        yield RequestOutput(
            request_id=request.request_id,
            text=word,
            token_ids=[index],
            logprobs=[logprob(index, word, request.logprobs)] if request.logprobs is not None else [],
            usage=Usage(prompt_tokens=n_prompt, cached_tokens=min(1, n_prompt)) if index == 0 else None,
        )
    yield RequestOutput(
        request_id=request.request_id,
        finish_reason=finish if limit == len(words) else "length",
        usage=Usage(prompt_tokens=n_prompt, cached_tokens=min(1, n_prompt), completion_tokens=limit),
    )


def say_with_pauses(request: GenerateRequest, steps: list[str | float]) -> Iterator[Step]:
    words = iter(say(request, [step for step in steps if isinstance(step, str)]))
    for step in steps:
        yield step if isinstance(step, float) else next(words)
    yield from words


def logprob(token: int, word: str, n_top: int) -> TokenLogprob:
    top = [(token + k, word.encode() if k == 0 else b"alt%d" % k, -0.5 - k) for k in range(n_top)]
    return TokenLogprob(token, word.encode(), -0.5, top)


def prompt_logprobs(request: GenerateRequest) -> list[TokenLogprob]:
    """Of the tokens that `tokenize` makes, one per byte, without the first."""
    tokens = request.prompt if isinstance(request.prompt, list) else [1, *text_of(request).encode()]
    return [TokenLogprob(t, bytes([t]), -1.0, [(t, bytes([t]), -1.0)]) for t in tokens[1:]]


def guess(request: GenerateRequest) -> Iterator[Step]:
    """One token whose log-probability is that of its seed, the higher the likelier."""
    seed = request.sampling.get("seed", 0)
    scored = [TokenLogprob(seed, b"x", seed - 10.0)] if request.logprobs is not None else []
    yield RequestOutput(request_id=request.request_id, text=f"guess {seed}", token_ids=[seed], logprobs=scored)
    yield RequestOutput(
        request_id=request.request_id,
        finish_reason="deadline" if seed == 9 else "stop",
        usage=Usage(
            prompt_tokens=10,
            cached_tokens=10 if seed % 2 else 4,
            completion_tokens=3,
            drafted_tokens=5,
            accepted_tokens=2,
        ),
    )


def call_tool(request: GenerateRequest, name: str) -> Iterator[Step]:
    """Two calls of `name`, the first in fragments."""
    for delta in (
        ToolCallDelta(0, "", "call_a", name),
        ToolCallDelta(0, '{"city": '),
        ToolCallDelta(0, '"Rome"}'),
        ToolCallDelta(1, '{"city": "Oslo"}', "call_b", name),
    ):
        yield RequestOutput(request_id=request.request_id, tool_calls=[delta], token_ids=[1])
    yield RequestOutput(
        request_id=request.request_id,
        finish_reason="tool_calls",
        usage=Usage(prompt_tokens=3, completion_tokens=4),
    )


def call_with_text(request: GenerateRequest, name: str) -> Iterator[Step]:
    """A call of `name` with one string, cut where it hurts."""
    for delta in (
        ToolCallDelta(0, "", "call_a", name),
        ToolCallDelta(0, '{"inp'),
        ToolCallDelta(0, 'ut": "*** Be'),
        ToolCallDelta(0, "gin\\n\\u00e9 \\ud83d"),
        ToolCallDelta(0, '\\ude00\\"'),
        ToolCallDelta(0, '"}'),
    ):
        yield RequestOutput(request_id=request.request_id, tool_calls=[delta], token_ids=[1])
    yield RequestOutput(
        request_id=request.request_id,
        finish_reason="tool_calls",
        usage=Usage(prompt_tokens=3, completion_tokens=6),
    )


def spell(request: GenerateRequest) -> Iterator[Step]:
    """Letters, each the token of its byte, slowly; large ones when it is cold. A token prompt is gone on with."""
    told = bytes(request.prompt[1:]).decode() if isinstance(request.prompt, list) else text_of(request)
    told += bytes(request.answered).decode()
    n_answered = len(request.answered)
    if n_answered:  # an engine repeats them, and counts them
        text = bytes(request.answered).decode()
        yield RequestOutput(request_id=request.request_id, text=text, token_ids=request.answered)
    count, begun = re.fullmatch(r"spell (\d+)(\D*)", told).groups()  # type: ignore[union-attr]
    cold = request.sampling["temperature"] < 0.5
    letters = [chr(97 + (len(begun) + k) % 26) for k in range(int(count) - len(begun))]
    left = None if request.max_tokens is None else request.max_tokens - n_answered
    rest = msgspec.structs.replace(request, max_tokens=left)
    for step in say(rest, [letter.upper() if cold else letter for letter in letters], pause=0.05):
        if isinstance(step, RequestOutput) and step.text:
            step = msgspec.structs.replace(step, token_ids=[ord(step.text)])
        if isinstance(step, RequestOutput) and step.usage is not None:
            n_tokens = step.usage.completion_tokens + n_answered
            step = msgspec.structs.replace(step, usage=msgspec.structs.replace(step.usage, completion_tokens=n_tokens))
        yield step


def end_early(request: GenerateRequest, why: str, arguments: list[str]) -> Iterator[Step]:
    """One word; then it is "stopped" by a stop string, or its context is "full"."""
    yield RequestOutput(request_id=request.request_id, text="word", token_ids=[1])
    yield RequestOutput(
        request_id=request.request_id,
        finish_reason="length" if why == "full" else "stop",
        stop_reason=arguments[0] if arguments else None,
        usage=Usage(prompt_tokens=1, completion_tokens=1, cache_miss="diverged", cache_diverged_at=0),
    )


def obey(request: GenerateRequest) -> Iterator[Step]:
    """The script of the prompt: its first word chooses, the rest are arguments; anything else is echoed."""
    command, *arguments = text_of(request).split() or [""]
    if isinstance(request.prompt, list) and request.prompt[1:6] == list(b"spell"):
        command = "spell"
    match command:
        case "spell":
            yield from spell(request)
        case "count":
            yield from say(request, [f"{i} " for i in range(int(arguments[0]))])
        case "slow":
            yield from say(request, [f"{i} " for i in range(int(arguments[0]))], pause=0.01)
        case "wait":  # so many seconds, then the rest of the script
            yield float(arguments[0])
            yield from obey(msgspec.structs.replace(request, prompt=" ".join(arguments[1:])))
        case "say":  # words, with pauses in seconds between them
            steps = [float(word) if "." in word else word for word in arguments]
            yield from say_with_pauses(request, steps)
        case "flood":
            yield from say(request, ["x" * 50_000] * 100_000)
        case "hang":
            yield from say(request, ["start", "end"], pause=0.01) if arguments else iter([3600.0])
            yield 3600.0
        case "think":
            yield RequestOutput(request_id=request.request_id, reasoning="hmm ", token_ids=[1])
            for step in say(request, ["so", " it is"]):
                if isinstance(step, RequestOutput) and step.finished and step.usage is not None:
                    usage = msgspec.structs.replace(step.usage, reasoning_tokens=1, completion_tokens=3)
                    step = msgspec.structs.replace(step, usage=usage)
                yield step
        case "stopped" | "full":
            yield from end_early(request, command, arguments)
        case "guess":
            yield from guess(request)
        case "tool":
            yield from call_tool(request, arguments[0])
        case "custom":
            yield from call_with_text(request, arguments[0])
        case "fail":
            yield getattr(errors, arguments[0])("as asked")
        case "vanish":
            yield RequestOutput(request_id=request.request_id, text="partial", token_ids=[1])
        case "break":
            yield RequestOutput(request_id=request.request_id, text="partial", token_ids=[1])
            yield errors.EngineDeadError("as asked")
        case _:
            words = text_of(request).split(" ")
            yield from say(request, [words[0], *(f" {word}" for word in words[1:])])


def with_asked_usage(request: GenerateRequest, output: RequestOutput) -> RequestOutput:
    """Of a request with a context_policy 40 of 100 prompt tokens were dropped, and 7 left at the end; a miss is of its
    last message.
    """
    usage = output.usage
    if usage is None:
        return output
    if (policy := request.context_policy) != "error":
        shifted = 7 if output.finished and shifts(policy) else 0
        dropped = 40 if truncates(policy) else 0
        use = ContextUse(policy, 100, 100 - dropped, dropped, dropped // 20, int(shifted > 0), shifted)
        usage = msgspec.structs.replace(usage, context=use)
    if request.cache_diagnostics and usage.cache_miss != "none" and isinstance(request.prompt, ChatPrompt):
        last = len(request.prompt.messages) - 1
        reason = "message" if usage.cache_miss == "diverged" else "new"
        diagnosis = CacheDiagnosis(last, request.prompt.messages[last]["role"], reason)
        usage = msgspec.structs.replace(usage, cache_diagnosis=diagnosis)
    return msgspec.structs.replace(output, usage=usage)


class ScriptedStream:
    """The outputs of a script; `cancel` ends it before its next step."""

    def __init__(self, request_id: str, steps: AsyncIterator[RequestOutput]) -> None:
        self.finished = False
        self._request_id = request_id
        self._steps = steps
        self._n_tokens = 0
        self._stopped = asyncio.Event()
        self._left: RequestOutput | BaseException | None = None
        """By `pour`, to whoever iterates."""

    def cancel(self) -> None:
        self._stopped.set()

    def __aiter__(self) -> ScriptedStream:
        return self

    async def pour(self, take: Callable[[RequestOutput], bool]) -> None:
        try:
            while not self.finished:
                output = await self._next()
                if not take(output):
                    self._left = output
                    return
                self.finished = output.finished
        except (errors.ShimmyError, StopAsyncIteration) as error:
            self._left = error

    async def __anext__(self) -> RequestOutput:
        left, self._left = self._left, None
        if isinstance(left, BaseException):
            raise left
        if self.finished:
            raise StopAsyncIteration
        output = left or await self._next()
        self.finished = output.finished
        return output

    async def _next(self) -> RequestOutput:
        step = asyncio.ensure_future(anext(self._steps))  # type: ignore[arg-type]
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({step, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if not step.done():
                step.cancel()
        if self._stopped.is_set():
            usage = Usage(prompt_tokens=1, completion_tokens=self._n_tokens)
            return RequestOutput(request_id=self._request_id, finish_reason="cancelled", usage=usage)
        output = await step
        self._n_tokens += len(output.token_ids)
        return output


class ScriptedEngine:
    """Implements `EngineClient`. `requests` holds what was asked, `cancelled` the ids left before their end."""

    def __init__(
        self, name: str = "scripted", script: Script = obey, adapters: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.adapters = dict(adapters)
        self.info = msgspec.structs.replace(info_of(name), adapters=list(adapters))
        self.alive = True
        self.pid = 0
        self.requests: list[GenerateRequest] = []
        self.cancelled: list[str] = []
        self.running = 0
        self._script = script

    @classmethod
    async def load(cls, spec: LoadSpec, progress: Callable[[float], None] | None = None) -> ScriptedEngine:
        for step in range(1, 5):
            await asyncio.sleep(0)
            if progress is not None:
                progress(step / 4)
        if "broken" in spec.path:
            raise errors.ModelLoadError(f"{spec.name}: bad magic")
        return cls(spec.name, adapters=spec.adapters)

    @asynccontextmanager
    async def stream(self, request: GenerateRequest) -> AsyncIterator[ScriptedStream]:
        self._check_alive()
        self.requests.append(request)
        self._refuse(request)
        stream = ScriptedStream(request.request_id, self._steps(request))
        self.running += 1
        try:
            yield stream
        finally:
            self.running -= 1
            if not stream.finished:
                self.cancelled.append(request.request_id)

    async def tokenize(
        self, prompt: str | ChatPrompt, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        self._check_alive()
        text = await self.render_chat(prompt) if isinstance(prompt, ChatPrompt) else prompt
        before = prompt.context if isinstance(prompt, ChatPrompt) else []
        return (before or ([1] if add_special else [])) + list(text.encode())

    async def detokenize(self, tokens: list[int]) -> str:
        if wrong := [token for token in tokens if token >= self.info.n_vocab]:
            raise errors.InvalidRequestError(f"token {wrong[0]} is not in the vocabulary", "tokens")
        return bytes(tokens).decode("utf-8", "replace")

    async def pieces(self, tokens: list[int]) -> list[bytes]:
        return [b"<s>" if token == 1 else bytes([token]) for token in tokens]

    async def render_chat(self, prompt: ChatPrompt) -> str:
        if prompt.messages[0]["role"] == "tool":
            raise errors.TemplateError("a conversation cannot begin with a tool message")
        return "".join(f"<{message['role']}>{message.get('content')}" for message in prompt.messages)

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Of each input its length and its place; "hang" never ends."""
        self._check_alive()
        if "hang" in request.input:
            try:
                await asyncio.sleep(3600)
            finally:
                self.cancelled.append("embed")
        if not all(request.input):
            raise errors.InvalidRequestError("an input is empty", "input")
        for item in request.input:
            n_tokens = len(item) + isinstance(item, str)
            if n_tokens > N_CTX:
                raise errors.PromptTooLongError(f"an input has {n_tokens} tokens", "input", n_tokens, N_CTX)
        data = [struct.pack("ff", len(item), index) for index, item in enumerate(request.input)]
        n_tokens = sum(len(item) for item in request.input)
        return Embeddings(data=data, dimensions=2, pooling="mean", prompt_tokens=n_tokens)

    async def rerank(self, request: RerankRequest) -> Ranking:
        """The more characters of the query a document holds, the better."""
        self._check_alive()
        scores = [float(sum(letter in text for letter in request.query)) for text in request.documents]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])[: request.top_n]
        return Ranking(results=[RankedDocument(index, scores[index]) for index in order], prompt_tokens=len(scores))

    async def load_adapter(self, name: str, path: str) -> None:
        """A file that says "bad" is none, one that says "deadly" ends the engine."""
        self._check_alive()
        await asyncio.sleep(0)
        told = read(path)
        if b"deadly" in told:
            self.alive = False
            raise errors.EngineDeadError("an adapter killed it")
        if b"bad" in told:
            raise errors.ModelLoadError(f"{path} is no adapter")
        self.adapters[name] = path
        self.info = msgspec.structs.replace(self.info, adapters=list(self.adapters))

    async def unload_adapter(self, name: str) -> None:
        self._check_alive()
        if self.adapters.pop(name, None) is None:
            raise errors.ModelNotFoundError(f"no adapter {name!r} is loaded")
        self.info = msgspec.structs.replace(self.info, adapters=list(self.adapters))

    async def stats(self) -> EngineStats:
        return EngineStats(running=self.running, requests_finished=len(self.requests))

    async def close(self) -> None:
        self.alive = False

    async def _steps(self, request: GenerateRequest) -> AsyncIterator[RequestOutput]:
        for step in self._script(request):
            await asyncio.sleep(step if isinstance(step, float) else 0)
            self._check_alive()
            if isinstance(step, errors.EngineDeadError):
                self.alive = False
            if isinstance(step, Exception):
                raise step
            if isinstance(step, RequestOutput):
                yield with_asked_usage(request, step)

    def _check_alive(self) -> None:
        if not self.alive:
            raise errors.EngineDeadError(f"the engine of {self.info.name!r} is dead")

    def _refuse(self, request: GenerateRequest) -> None:
        command, *arguments = text_of(request).split() or [""]
        temperature = request.sampling.get("temperature", 1.0)
        if temperature < 0:
            raise errors.InvalidRequestError(f"temperature must be at least 0, got {temperature}", "temperature")
        if command == "refuse":
            raise getattr(errors, arguments[0])("as asked")
        if command == "long":
            raise errors.PromptTooLongError("the prompt has 999 tokens", n_prompt_tokens=999, n_ctx=N_CTX)
        if command == "bug":
            raise KeyError("bug")
        if command == "grammar":
            raise errors.InvalidRequestError("the schema is unsatisfiable at #/x", arguments[0])
        for adapter in request.lora.keys() - {"style", *self.adapters}:
            raise errors.ModelNotFoundError(f"no adapter {adapter!r}; loaded: {', '.join(self.adapters) or 'none'}")
