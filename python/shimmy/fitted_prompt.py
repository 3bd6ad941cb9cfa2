"""A prompt on its way to its context: rendered, tokenized, and cut where its request allows that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from shimmy import _core
from shimmy.context_policy import ERROR, cut_step, prompt_limit, shifts, truncates, without_middle
from shimmy.conversation_cut import ConversationCut, Messages
from shimmy.errors import PromptTooLongError, TemplateError
from shimmy.output import ContextUse
from shimmy.rendered_prompt import RenderedPrompt
from shimmy.request import ChatPrompt, GenerateRequest

Render = Callable[[ChatPrompt], RenderedPrompt]


class FittedPrompt(NamedTuple):
    """What the engine gets of a prompt."""

    tokens: list[int]
    n_keep: int | None
    """Tokens that stay when the context is shifted; None: it is not."""
    use: ContextUse | None
    """What became of it, for requests that allow a cut or a shift."""
    rendered: RenderedPrompt | None = None
    kept: Sequence[int] = ()
    """Places of a conversation's messages that are left."""


class PromptFitter:
    """Fits prompts into `n_ctx` tokens."""

    def __init__(self, tokenizer: _core.Tokenizer, render: Render, n_ctx: int) -> None:
        self._tokenizer = tokenizer
        self._render = render
        self._n_ctx = n_ctx

    def fit(self, request: GenerateRequest, prompt: str | list[int] | ChatPrompt) -> FittedPrompt:
        """`prompt` is the request's, or what is rendered in its place.

        Raises PromptTooLongError when the policy is to truncate and what must be kept is too long; as `render` for
        conversations. One that may not be cut is returned as long as it is.
        """
        rendered = None
        if isinstance(prompt, ChatPrompt):
            rendered = self._render(prompt)
            tokens = self.tokens_of(rendered, prompt.context)
        else:
            tokens = self._tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        policy, n_tokens, n_gone = request.context_policy, len(tokens), 0
        messages = prompt.messages if isinstance(prompt, ChatPrompt) else []
        kept = list(range(len(messages)))
        limit = prompt_limit(self._n_ctx, request.max_tokens)
        if truncates(policy) and n_tokens > limit:
            if isinstance(prompt, ChatPrompt) and not prompt.context:
                rendered, tokens, kept = self._cut(prompt, n_tokens, limit)
                n_gone = len(messages) - len(kept)
            else:
                tokens = without_middle(tokens, limit, request.n_keep)
        use = None
        if policy != ERROR:
            use = ContextUse(policy, n_tokens, len(tokens), n_tokens - len(tokens), n_gone)
        n_keep = self._n_keep(request, prompt, tokens) if shifts(policy) else None
        return FittedPrompt(tokens, n_keep, use, rendered, kept)

    def tokens_of(self, rendered: RenderedPrompt, context: list[int]) -> list[int]:
        """Those of a conversation behind the tokens of an earlier one."""
        tokens = self._tokenizer.encode(rendered.text, add_special=not rendered.chat.starts_with_bos)
        if context and tokens[:1] == [self._tokenizer.bos]:
            del tokens[0]  # a sequence begins once
        return [*context, *tokens]

    def _cut(self, prompt: ChatPrompt, n_tokens: int, limit: int) -> tuple[RenderedPrompt, list[int], list[int]]:
        seen: tuple[RenderedPrompt, list[int]] | None = None

        def count(messages: Messages) -> int:
            nonlocal seen
            rendered = self._render(msgspec.structs.replace(prompt, messages=messages))
            seen = rendered, self.tokens_of(rendered, [])
            return len(seen[1])

        cut = ConversationCut(prompt.messages, count, self._size).find(n_tokens, limit, cut_step(self._n_ctx))
        if cut is None or seen is None:
            raise PromptTooLongError(
                f"the prompt has {n_tokens} tokens, the context holds {self._n_ctx}, and without what may be "
                f"dropped it still has more than {limit}: shorten the system prompt, the tools or max_tokens",
                n_prompt_tokens=n_tokens,
                n_ctx=self._n_ctx,
            )
        return *seen, cut.kept

    def _size(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special=False))

    def _n_keep(self, request: GenerateRequest, prompt: str | list[int] | ChatPrompt, tokens: list[int]) -> int:
        """The prompt, unless it has more than half of the context: then a conversation's beginning, or BOS."""
        if request.n_keep is not None:
            return request.n_keep
        if len(tokens) <= self._n_ctx // 2:
            return len(tokens)
        if isinstance(prompt, ChatPrompt) and not prompt.context:
            return min(self._n_of_head(prompt, tokens), self._n_ctx // 2)
        return 1

    def _n_of_head(self, prompt: ChatPrompt, tokens: list[int]) -> int:
        """Tokens of the system prompt with its tools: what another conversation begins with too."""
        system = [message for message in prompt.messages if message["role"] in ("system", "developer")]
        head = [*system, {"role": "user", "content": ""}]
        try:
            other = self._render(msgspec.structs.replace(prompt, messages=head, continue_final_message=False))
        except TemplateError:
            return 1
        begin = self.tokens_of(other, [])
        return next(
            (n for n, (a, b) in enumerate(zip(tokens, begin, strict=False)) if a != b), min(len(tokens), len(begin))
        )
