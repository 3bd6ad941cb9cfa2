"""Grammars of the requests to one model: what was asked for, what tool calls look like, or either."""

from __future__ import annotations

import logging
import re
import threading

from shimmy import _core
from shimmy.call_grammar import calls_at_once, whole_calls, whole_triggers
from shimmy.errors import InvalidRequestError
from shimmy.grammar import GrammarSpec, llguidance_library

logger = logging.getLogger("shimmy.grammar")


class OutputGrammars:
    """Compiles grammars, within 250 ms each, and keeps them. Thread-safe.

    All methods raise InvalidRequestError naming the limit, keyword or line, and ModelLoadError when llguidance is not
    installed.
    """

    def __init__(self, tokenizer: _core.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._made: _core.GrammarCompiler | None = None

    def _compiler(self) -> _core.GrammarCompiler:
        with self._lock:
            if self._made is None:
                self._made = _core.GrammarCompiler(self._tokenizer, llguidance_library())
            return self._made

    def for_output(self, spec: GrammarSpec) -> _core.Grammar:
        """What the whole output has to look like."""
        kind, text = spec.kind(), spec.text()
        return self._compiler().compile(kind, text, choices=spec.choice or [], any_whitespace=spec.any_whitespace)

    def for_tools(self, chat: _core.RenderedChat, *, parallel: bool) -> _core.Grammar | None:
        """Calls of the tools that `chat` was rendered with, one or, if `parallel`, several, as its tool_choice wants
        them: required ones from the first token on or after the reasoning, optional ones from the dialect's own trigger
        on. None for a dialect without a grammar, and for optional calls that are too many to compile.
        """
        if not chat.grammar:
            return None
        calls = whole_calls(chat.grammar, parallel=parallel)
        if not chat.grammar_lazy:
            return self._compiler().compile(
                "gbnf",
                calls_at_once(calls) or calls,
                prefill=chat.generation_prompt,
                preserved_tokens=chat.preserved_tokens,
            )
        try:
            return self._compiler().compile(
                "gbnf",
                calls,
                lazy=True,
                triggers=whole_triggers(chat.triggers),
                preserved_tokens=chat.preserved_tokens,
            )
        except InvalidRequestError as error:
            logger.info("calls of the tools are not enforced: %s", error)
            return None

    def for_calls_only(self, optional: _core.RenderedChat, *, parallel: bool) -> _core.Grammar:
        """Calls of tools from the first token on; `optional` was rendered with tool_choice auto and has a lazy grammar,
        which begins with the call.
        """
        calls = whole_calls(optional.grammar, parallel=parallel)
        return self._compiler().compile("gbnf", calls, preserved_tokens=optional.preserved_tokens)

    def for_either(self, spec: GrammarSpec, optional: _core.RenderedChat, *, parallel: bool) -> _core.Grammar:
        """An output of `spec`, or calls of the tools that `optional` was rendered with."""
        if spec.kind() not in ("json_schema", "json_object"):
            raise InvalidRequestError(
                f"a {spec.kind()} cannot be combined with tools that are optional: set tool_choice to none or required",
                "tool_choice",
            )
        if not optional.grammar_lazy:
            return self.for_output(spec)
        schema = _core.llguidance_schema(spec.text() or '{"type": "object"}', spec.any_whitespace)
        lark = _core.gbnf_to_lark(whole_calls(optional.grammar, parallel=parallel))
        calls = re.sub(r"^start:", "tool_calls:", lark, flags=re.MULTILINE)
        return self._compiler().compile(
            "lark",
            f"start: tool_calls | content\ncontent: %json {schema}\n{calls}",
            preserved_tokens=optional.preserved_tokens,
        )
