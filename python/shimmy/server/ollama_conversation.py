"""Ollama's messages, tools, format and options, made into what the engine gets."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from shimmy.context_policy import policy_of
from shimmy.errors import InvalidRequestError
from shimmy.final_message import begins_the_answer
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.request_defaults import RequestDefaults
from shimmy.server.conversation import effort_kwargs, functions_of, messages_of
from shimmy.server.generation import generate_request
from shimmy.server.prompt_template import PromptTemplate
from shimmy.server.schemas.chat import FunctionCallIn, MessageIn, ToolCallIn
from shimmy.server.schemas.decoding import check_size
from shimmy.server.schemas.ollama import (
    OllamaChatRequest,
    OllamaGenerateRequest,
    OllamaMessage,
    OllamaRequest,
    Options,
)
from shimmy.server.schemas.structure import ResponseFormat

_EFFORTS = ("low", "medium", "high", "max")


def chat_request(body: OllamaChatRequest) -> GenerateRequest:
    """InvalidRequestError for what cannot be done; it names the message at fault."""
    given = [_message(message, f"messages[{index}]") for index, message in enumerate(body.messages or [])]
    messages = messages_of(given)
    thinks, effort = _thinking(body)
    prompt = ChatPrompt(
        messages=messages,
        continue_final_message=begins_the_answer(messages),
        tools=functions_of(body.tools or []),
        enable_thinking=thinks,
        template_kwargs=effort_kwargs(effort),
    )
    return engine_request(body, prompt)


def conversation_of(body: OllamaGenerateRequest) -> ChatPrompt | None:
    """The prompt of /api/generate as a conversation; None when it goes to the model as it is, or in a `template`."""
    _refuse_images(body.images, "images")
    for name in ("suffix", "raw"):
        if getattr(body, name):
            if body.system or body.context or body.template:
                raise InvalidRequestError(f"{name} takes the prompt alone, without system, context and template", name)
            return None
    if body.template:
        return None
    messages = [{"role": "system", "content": body.system}] if body.system else []
    messages.append({"role": "user", "content": body.prompt or ""})
    thinks, effort = _thinking(body)
    return ChatPrompt(
        messages=messages,
        enable_thinking=thinks,
        template_kwargs=effort_kwargs(effort),
        context=body.context or [],
    )


def templated(body: OllamaGenerateRequest, defaults: RequestDefaults) -> str:
    """The prompt of /api/generate in the request's own `template`, behind the messages that the model begins with.

    InvalidRequestError for a template that cannot be read, and for one that would drop what the request says.
    """
    template = PromptTemplate(body.template or "")
    if body.think:
        raise InvalidRequestError("think is for the model's own template, not for one of the request", "think")
    for name, said in ((".Prompt", body.prompt), (".System", body.system)):
        if said and not template.says(name):
            raise InvalidRequestError(f"the template has no {{{{ {name} }}}}, so that would be lost", "template")
    messages = [{"role": "system", "content": body.system}] if body.system else []
    messages.append({"role": "user", "content": body.prompt or ""})
    whole = defaults.conversation(ChatPrompt(messages=messages, context=body.context or [])).messages
    parts: list[str] = []
    turn = dict.fromkeys(("system", "user", "assistant"), "")
    for message in whole:
        role, content = message["role"], message.get("content")
        if role not in turn or not isinstance(content, str):
            raise InvalidRequestError(f"the model begins with a message of {role}, which no template has", "template")
        if turn["assistant"] if role == "user" else role == "system" and turn["user"]:
            parts.append(template.turn(turn["system"], turn["user"], turn["assistant"]))
            turn = dict.fromkeys(turn, "")
        turn[role] = f"{turn[role]}\n\n{content}" if turn[role] else content
    return "".join([*parts, template.opening(turn["system"], turn["user"])])


def engine_request(body: OllamaRequest, prompt: str | list[int] | ChatPrompt) -> GenerateRequest:
    """What the engine gets for either route. InvalidRequestError for a format that is none."""
    options = options_of(body)
    if isinstance(body.format, dict):
        check_size(body.format, "format")
        options.json_schema = body.format
    elif body.format == "json":
        options.response_format = ResponseFormat(type="json_object")
    elif body.format:
        raise InvalidRequestError(f"format must be json or a JSON schema, got {body.format!r}", "format")
    limit = options.num_predict
    return generate_request(
        f"ollama-{secrets.token_hex(12)}",
        options,
        prompt,
        max_tokens=None if limit is None or limit < 0 else limit,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )


def options_of(body: OllamaRequest) -> Options:
    """The options with what other fields say in Ollama's words. InvalidRequestError for two that say the same."""
    options = body.options or Options()
    policy = policy_of(body.truncate, body.shift)
    if policy is not None and options.context_policy not in (None, policy):
        raise InvalidRequestError(
            f"truncate and shift mean context_policy {policy}, options says {options.context_policy!r}",
            "options.context_policy",
        )
    options.context_policy = policy or options.context_policy
    options.lora = options.lora if body.lora is None else body.lora
    options.n_keep = options.num_keep if options.n_keep is None else options.n_keep
    return options


def _thinking(body: OllamaRequest) -> tuple[bool, str | None]:
    if isinstance(body.think, str) and body.think not in _EFFORTS:
        raise InvalidRequestError(f"think must be true, false, {', '.join(_EFFORTS)}, got {body.think!r}", "think")
    return body.think is not False, body.think if isinstance(body.think, str) else None


def _message(message: OllamaMessage, place: str) -> MessageIn:
    _refuse_images(message.images, f"{place}.images")
    return MessageIn(
        role=message.role,
        content=message.content or "",
        name=message.tool_name,
        tool_calls=[
            ToolCallIn(FunctionCallIn(call.function.name, call.function.arguments), call.id)
            for call in message.tool_calls or ()
        ]
        or None,
        tool_call_id=message.tool_call_id,
        reasoning_content=message.thinking,
    )


def _refuse_images(images: Sequence[str] | None, place: str) -> None:
    if images:
        raise InvalidRequestError(f"{place} are not supported: this model reads text only", place)
