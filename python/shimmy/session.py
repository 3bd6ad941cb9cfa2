"""A growing list of tokens whose KV cells stay cached, with explicit control of them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from shimmy.completion import Completion
from shimmy.errors import EngineDeadError, InvalidRequestError, ModelNotFoundError

if TYPE_CHECKING:
    from shimmy import _core
    from shimmy.llm import LLM


class Session:
    """Prompts and answers one after the other, each continuing all before::

        with llm.session() as session:
            session.generate("Once upon a time", max_tokens=16)
            other = session.fork()
            other.generate(" there was", max_tokens=16)

    `tokens` is the whole of it. Forks share the cells of what they have in common; cutting is free. Cells that had to
    give way to other requests are computed again when they are needed; `pin` keeps them. Not thread-safe.

    What an adapter computes that is switched on by tokens (aLoRA) is not kept: once they are there, `pin`, `save` and
    `shift` raise InvalidRequestError, which says where; forks and `truncate` before that place are as ever.
    """

    def __init__(
        self, llm: LLM, tokens: list[int] | None = None, *, tenant: str = "", lora: dict[str, float] | None = None
    ) -> None:
        self._llm = llm
        self._tenant = tenant
        self._lora = dict(lora or {})
        self._pinned: list[int] = []
        self.tokens: list[int] = list(tokens or [])

    @property
    def text(self) -> str:
        return self._llm.tokenizer.decode(self.tokens)

    def append(self, prompt: str | list[int]) -> None:
        """Add text (BOS before the first, as the model asks) or tokens; computed with the next `generate`."""
        if isinstance(prompt, str):
            prompt = self._llm.tokenizer.encode(prompt, add_special=not self.tokens)
        self.tokens += prompt

    def generate(self, prompt: str | list[int] = "", **options: Any) -> Completion:
        """Append `prompt`, then the model's answer to everything so far. Takes and raises what `LLM.generate` does."""
        if options.get("token_healing"):
            raise InvalidRequestError(
                "a session keeps its tokens as they are, so they cannot be healed", "token_healing"
            )
        before = len(self.tokens)
        self.append(prompt)
        try:
            answer = self._llm.generate(self.tokens, tenant=self._tenant, lora=self._lora, **options)
        except BaseException:
            del self.tokens[before:]
            raise
        self.tokens += answer.token_ids
        return answer

    def fork(self) -> Session:
        """An independent copy that shares what was computed."""
        return Session(self._llm, self.tokens, tenant=self._tenant, lora=self._lora)

    def truncate(self, n_tokens: int) -> None:
        """Keep the first `n_tokens` only. Raises InvalidRequestError for more than there are."""
        if not 0 <= n_tokens <= len(self.tokens):
            raise InvalidRequestError(f"n_tokens is {n_tokens}, the session has {len(self.tokens)} tokens", "n_tokens")
        del self.tokens[n_tokens:]

    def rewind(self, n_tokens: int) -> None:
        """Take the last `n_tokens` back. Raises InvalidRequestError for more than there are."""
        self.truncate(len(self.tokens) - n_tokens if n_tokens >= 0 else -1)

    def shift(self, n_keep: int, n_discard: int) -> None:
        """Context shift: drop `n_discard` tokens after the first `n_keep` and move the later ones' cells to the front.

        An approximation, as in llama-server: what was dropped has still shaped the later cells. A session that fills
        the context can be shifted too. Raises InvalidRequestError when the model cannot shift or there are not so many
        tokens.
        """
        computed = self.tokens[: self._engine.n_ctx - 1]
        self._compute(computed)
        shifted = self._engine.shift_prefix(computed, n_keep, n_discard, **self._owner)
        self.tokens = shifted + self.tokens[len(computed) :]

    def pin(self) -> None:
        """Keep the cells of the tokens so far in the KV cache until `unpin`, or a request has no room without them.

        Raises InvalidRequestError when too much is pinned already; what this session had pinned stays so then; and
        PromptTooLongError as `save`.
        """
        self._compute(self.tokens)
        before = self._pinned
        self.unpin()
        try:
            self._engine.pin_prefix(self.tokens, **self._owner)
        except InvalidRequestError:
            if before:
                self._engine.pin_prefix(before, **self._owner)
                self._pinned = before
            raise
        self._pinned = list(self.tokens)

    def unpin(self) -> None:
        """Idempotent. What had to give way to a request, or a fork unpinned already, is no error."""
        if self._pinned:
            pinned, self._pinned = self._pinned, []
            with contextlib.suppress(InvalidRequestError, ModelNotFoundError, EngineDeadError):
                self._engine.unpin_prefix(pinned, **self._owner)

    def save(self, path: str | Path) -> None:
        """Write tokens and cells to a file, beside its place first. Raises OSError, and PromptTooLongError when the
        session fills the context to its last token: its cells could not be computed again."""
        self._compute(self.tokens)
        state = self._engine.save_prefix(self.tokens, **self._owner)
        path = Path(path)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            partial.write_bytes(state)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def load(self, path: str | Path) -> None:
        """Replace the session by a saved one. Raises OSError, and InvalidRequestError for a file that is damaged or of
        another model, other settings or other adapters; the session is unchanged then.
        """
        self.tokens = self._engine.load_prefix(Path(path).read_bytes(), **self._owner)

    def close(self) -> None:
        """Unpin what is pinned. Idempotent."""
        self.unpin()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _engine(self) -> _core.Engine:
        return self._llm.engine

    @property
    def _owner(self) -> dict[str, Any]:
        return {"tenant": self._tenant, "lora": list(self._lora.items())}

    def _compute(self, tokens: list[int]) -> None:
        """Have the cells of these tokens in the cache."""
        if not tokens:
            raise InvalidRequestError("the session is empty", "tokens")
        options = {"tenant": self._tenant, "lora": self._lora}
        self._llm.generate(tokens, max_tokens=1, ignore_eos=True, temperature=0, **options)
