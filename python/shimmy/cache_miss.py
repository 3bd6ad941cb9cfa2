"""Which part of a request made it leave the prefix cache, as far as the model's own process can tell."""

from __future__ import annotations

from shimmy import _core
from shimmy.fitted_prompt import FittedPrompt
from shimmy.message_places import message_at
from shimmy.output import CacheDiagnosis
from shimmy.request import ChatPrompt, GenerateRequest

_REASONS = {"empty": "new", "adapters": "adapter"}


def diagnose_miss(
    tokenizer: _core.Tokenizer, request: GenerateRequest, fitted: FittedPrompt, miss: str, token: int
) -> CacheDiagnosis:
    """`miss` is why `token` of the prompt was the first that did not come from the cache (see `Usage.cache_miss`)."""
    place = _place_of(tokenizer, request, fitted, token)
    index = role = None
    if isinstance(request.prompt, ChatPrompt) and place >= 0:
        index = fitted.kept[place]
        role = str(request.prompt.messages[index]["role"])
    if miss != "diverged":
        return CacheDiagnosis(index, role, _REASONS.get(miss, miss))
    if not isinstance(request.prompt, ChatPrompt) or request.prompt.context:
        return CacheDiagnosis(None, None, "prompt")
    if index is None:
        return CacheDiagnosis(None, None, "template")
    if index != place and (place == 0 or fitted.kept[place - 1] == place - 1):
        return CacheDiagnosis(index, role, "truncated")
    return CacheDiagnosis(index, role, "system" if role in ("system", "developer") else "message")


def _place_of(tokenizer: _core.Tokenizer, request: GenerateRequest, fitted: FittedPrompt, token: int) -> int:
    """The message among those that are left; -1 for none."""
    prompt, rendered = request.prompt, fitted.rendered
    if rendered is None or not isinstance(prompt, ChatPrompt) or prompt.context:
        return -1
    before = tokenizer.decode(fitted.tokens[:token], unparse_special=True)
    added = fitted.tokens[:1] if tokenizer.add_bos and not rendered.chat.starts_with_bos else []
    offset = len(before) - len(tokenizer.decode(added, unparse_special=True))
    return message_at(rendered.text, [prompt.messages[index] for index in fitted.kept], offset)
