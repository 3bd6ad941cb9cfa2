"""What the server and a runner process say to each other: msgpack messages behind a 4-byte little-endian length.

The first frame of either side is `Hello`. The server then sends `Load` and, once it got `Ready`, commands; the runner
answers each `Start` with `Accepted` or `Rejected`, and each call with `Tokens`, `Pieces`, `Text`,
`Counters`, `Embedded`, `Ranked`, `Adapters` or `CallFailed`. From its `Hello` on it sends a `Pulse` twice a second.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import msgspec

from shimmy import errors
from shimmy.embedding import Embeddings, EmbedRequest, Ranking, RerankRequest
from shimmy.model_info import EngineStats, LoadSpec, ModelInfo
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest

PROTOCOL = 9
"""Raised with every change of a message; both sides come from one installation, so a difference is a broken one."""

MISMATCH = "shimmy was changed while it ran, or is installed twice: start the server again, or reinstall shimmy"

MAX_FRAME = 64 * 1024 * 1024
"""Largest payload in bytes."""


class FrameError(errors.ShimmyError):
    """The other side sent something that is no frame, or a message is too large to be sent as one."""


class Failure(msgspec.Struct, frozen=True):
    """An exception on its way through the pipe."""

    name: str
    message: str
    fields: dict[str, Any] = {}

    @classmethod
    def of(cls, error: errors.ShimmyError) -> Failure:
        # A subclass made elsewhere travels as the nearest class that the other side knows.
        name = next(base.__name__ for base in type(error).__mro__ if base.__name__ in errors.__all__)
        return cls(name, error.message, {field: getattr(error, field) for field in type(error).fields})

    def exception(self) -> errors.ShimmyError:
        """The same error again, as the class of `shimmy.errors` that it was."""
        if self.name not in errors.__all__:
            return errors.ShimmyError(f"{self.name}: {self.message}")
        kind: type[errors.ShimmyError] = getattr(errors, self.name)
        return kind(self.message, **{key: value for key, value in self.fields.items() if key in kind.fields})


class Hello(msgspec.Struct, tag=True, frozen=True):
    protocol: int = PROTOCOL


class Load(msgspec.Struct, tag=True, frozen=True):
    spec: LoadSpec


class Start(msgspec.Struct, tag=True, frozen=True):
    request: GenerateRequest


class Cancel(msgspec.Struct, tag=True, frozen=True):
    """Drop a request, running or finished; there is no answer."""

    request_id: str


class Stop(msgspec.Struct, tag=True, frozen=True):
    """End a request as its stream's `cancel` does: its last output follows."""

    request_id: str


class Tokenize(msgspec.Struct, tag=True, frozen=True):
    call: int
    prompt: str | ChatPrompt
    add_special: bool
    parse_special: bool


class Detokenize(msgspec.Struct, tag=True, frozen=True):
    call: int
    tokens: list[int]


class Split(msgspec.Struct, tag=True, frozen=True):
    """Tokens into their pieces."""

    call: int
    tokens: list[int]


class RenderChat(msgspec.Struct, tag=True, frozen=True):
    call: int
    prompt: ChatPrompt


class Embed(msgspec.Struct, tag=True, frozen=True):
    call: int
    request: EmbedRequest


class Rerank(msgspec.Struct, tag=True, frozen=True):
    call: int
    request: RerankRequest


class LoadAdapter(msgspec.Struct, tag=True, frozen=True):
    call: int
    name: str
    path: str


class UnloadAdapter(msgspec.Struct, tag=True, frozen=True):
    call: int
    name: str


class CancelCall(msgspec.Struct, tag=True, frozen=True):
    """Drop a call that nobody waits for any more; there is no answer."""

    call: int


class Stats(msgspec.Struct, tag=True, frozen=True):
    call: int


class Shutdown(msgspec.Struct, tag=True, frozen=True):
    """Free the model and exit with code 0."""


Command: TypeAlias = (
    Hello
    | Load
    | Start
    | Cancel
    | Stop
    | Tokenize
    | Detokenize
    | Split
    | RenderChat
    | Embed
    | Rerank
    | LoadAdapter
    | UnloadAdapter
    | CancelCall
    | Stats
    | Shutdown
)


class Progress(msgspec.Struct, tag=True, frozen=True):
    fraction: float
    """0 to 1."""


class Pulse(msgspec.Struct, tag=True, frozen=True):
    """That the runner lives, and how far its engine is; counts since the start."""

    requests: int = 0
    """Accepted and not ended."""
    steps: int = 0
    computed_tokens: int = 0
    step_seconds: float = 0.0


class Ready(msgspec.Struct, tag=True, frozen=True):
    info: ModelInfo


class LoadFailed(msgspec.Struct, tag=True, frozen=True):
    """The model could not be loaded; the runner exits."""

    error: Failure


class Accepted(msgspec.Struct, tag=True, frozen=True):
    request_id: str


class Rejected(msgspec.Struct, tag=True, frozen=True):
    request_id: str
    error: Failure


class Outputs(msgspec.Struct, tag=True, frozen=True):
    """Everything that was available together, at most one output per request."""

    outputs: list[RequestOutput]


class StreamFailed(msgspec.Struct, tag=True, frozen=True):
    """An accepted request ended with an error; nothing more follows for it."""

    request_id: str
    error: Failure


class Tokens(msgspec.Struct, tag=True, frozen=True):
    call: int
    tokens: list[int]


class Pieces(msgspec.Struct, tag=True, frozen=True):
    call: int
    pieces: list[bytes]


class Text(msgspec.Struct, tag=True, frozen=True):
    call: int
    text: str


class Embedded(msgspec.Struct, tag=True, frozen=True):
    call: int
    embeddings: Embeddings


class Ranked(msgspec.Struct, tag=True, frozen=True):
    call: int
    ranking: Ranking


class Adapters(msgspec.Struct, tag=True, frozen=True):
    """A change of the adapters was made."""

    call: int
    names: list[str]
    """Those that are loaded now."""


class Counters(msgspec.Struct, tag=True, frozen=True):
    call: int
    stats: EngineStats


class CallFailed(msgspec.Struct, tag=True, frozen=True):
    call: int
    error: Failure


Reply: TypeAlias = (
    Hello
    | Progress
    | Pulse
    | Ready
    | LoadFailed
    | Accepted
    | Rejected
    | Outputs
    | StreamFailed
    | Tokens
    | Pieces
    | Text
    | Embedded
    | Ranked
    | Adapters
    | Counters
    | CallFailed
)

_ENCODER = msgspec.msgpack.Encoder()
COMMANDS: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Command | Reply) -> bytes:
    """One frame. FrameError when the message is larger than MAX_FRAME or holds what msgpack cannot express."""
    try:
        payload = _ENCODER.encode(message)
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise FrameError(f"a {type(message).__name__} message cannot be encoded: {error}") from error
    if len(payload) > MAX_FRAME:
        raise FrameError(
            f"a {type(message).__name__} message has {len(payload)} bytes, and a frame holds at most {MAX_FRAME}"
        )
    return len(payload).to_bytes(4, "little") + payload


async def read_payload(reader: asyncio.StreamReader) -> bytes | None:
    """The next payload, or None at the end of the stream. FrameError for a cut-off or oversized frame."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "little")
        if length > MAX_FRAME:
            raise FrameError(f"a frame claims {length} bytes, and the most is {MAX_FRAME}")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        if error.expected == 4 and not error.partial:
            return None
        raise FrameError("the stream ended inside a frame") from error


async def read_command(reader: asyncio.StreamReader) -> Command | None:
    """The server's next message, None at the end. FrameError for anything else."""
    payload = await read_payload(reader)
    if payload is None:
        return None
    try:
        return COMMANDS.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise FrameError(f"the server sent an invalid message: {error}") from error


async def read_reply(reader: asyncio.StreamReader) -> Reply | None:
    """The runner's next message, None at the end. FrameError for anything else."""
    payload = await read_payload(reader)
    if payload is None:
        return None
    try:
        return REPLIES.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise FrameError(f"the runner sent an invalid message: {error}") from error
