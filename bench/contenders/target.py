"""What every contender is started with, asked and answers; workloads know nothing else of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OnToken = Callable[[int], None]
"""Called on the event loop with the number of pieces of text so far."""


class NotSupportedError(Exception):
    """The contender lacks what a workload needs; the message says what."""


@dataclass(frozen=True)
class Setup:
    """How to start a contender."""

    model: Path
    n_ctx: int
    """KV cells for all streams together."""
    threads: int
    """For those who run in process; servers choose by themselves, as their users let them."""
    log: Path
    """What the contender prints; kept when it fails."""
    peer_dir: Path | None = None
    """Folder of the programs built by peers.py."""
    adapters: tuple[Path, ...] = ()
    """LoRA files; a request names one by its stem."""
    embeddings: bool = False
    drafts: bool = True
    """Whether tokens may be drafted: not with random weights, whose text repeats itself."""


@dataclass(frozen=True)
class Request:
    """One greedy generation: of a `prompt` (text or token ids) or of a chat (`messages`)."""

    max_tokens: int
    prompt: str | list[int] = ""
    messages: tuple[dict[str, Any], ...] = ()
    ignore_eos: bool = True
    schema: dict[str, Any] | None = None
    """JSON schema that the answer must follow."""
    adapter: str | None = None
    """Stem of the LoRA file to answer with, at scale 1."""


@dataclass(frozen=True)
class Answer:
    """What came back, and when. Times are seconds of time.perf_counter in the asking process."""

    started: float
    ended: float
    times: Sequence[float]
    """When each piece of text arrived."""
    text: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    finish_reason: str = ""
    drafted: int | None = None
    """Tokens drafted by speculation; None where it is not told."""
    accepted: int | None = None
    prefill_seconds: float | None = None
    """By the engine's own clock, where it tells it."""
    decode_seconds: float | None = None
    """From the first token to the last, by the engine's own clock."""

    @property
    def ttft(self) -> float:
        """Seconds to the first text; those of the whole answer when it had none."""
        return (self.times[0] if self.times else self.ended) - self.started

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def tpot(self) -> float:
        """Seconds per token after the first (vLLM's time per output token); 0 for an answer of one token."""
        later = self.completion_tokens - 1
        return (self.seconds - self.ttft) / later if later > 0 else 0.0

    @property
    def gaps(self) -> list[float]:
        """Seconds between pieces of text."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


@dataclass
class Target(ABC):
    """A contender that runs and can be asked."""

    name: str
    spawned: float
    """time.perf_counter when its start began."""
    ready: float = field(default=0.0)
    """time.perf_counter when it could be asked."""

    @abstractmethod
    async def generate(self, request: Request, on_token: OnToken | None = None) -> Answer:
        """Raises NotSupportedError when the contender has no such feature, else its own error."""

    @abstractmethod
    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, in one request. Raises NotSupportedError."""

    @abstractmethod
    def memory_mib(self) -> float:
        """Resident memory now, of all its processes."""

    @abstractmethod
    def peak_mib(self) -> float:
        """The most since its start."""


class Kernels(ABC):
    """A contender that can only compute: no server, no text."""

    name: str

    @abstractmethod
    async def tokens_per_second(self, *, n_prompt: int = 0, n_gen: int = 0, depth: int = 0) -> float:
        """Of prefilling `n_prompt` or generating `n_gen` tokens behind `depth` cached ones."""


class Contender(ABC):
    """Something that can be started and measured."""

    name: str
    programs: tuple[str, ...] = ()
    """Those of peers.py that it needs."""

    def missing(self, peer_dir: Path | None) -> str | None:
        """Why it cannot run here, None when it can."""
        for program in self.programs:
            if peer_dir is None or not (peer_dir / program).is_file():
                return f"{program} is neither in {peer_dir} nor could it be built"
        return None

    @abstractmethod
    def open(self, setup: Setup) -> AbstractAsyncContextManager[Target | Kernels]:
        """Start it; leaving the block ends it, whatever happened."""
