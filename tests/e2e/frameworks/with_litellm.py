"""LiteLLM by its providers openai, anthropic and ollama."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would ask the network for the prices of models

import litellm
from report import ASK_WEATHER, GUARDED, KEY, MODEL, QUESTION, RESULT, SCHEMA, SERVER, TOO_LONG, report

litellm.suppress_debug_info = True

PATHS = {"openai": "/v1", "anthropic": "", "ollama_chat": ""}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER, TIME = (
    {"type": "function", "function": {"name": name, "description": what, "parameters": PARAMETERS}}
    for name, what in (("get_weather", "Get the current weather in a city"), ("get_time", "Get the time in a city"))
)
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def ask(provider: str, asked: str = QUESTION, url: str = SERVER, **fields: Any) -> Any:
    given = {"messages": user(asked), "temperature": 0, "max_tokens": 200, "api_key": "none", "num_retries": 0}
    given["model"] = f"{provider}/{fields.pop('model', MODEL)}"
    return litellm.completion(api_base=url + PATHS[provider], **{**given, **fields})


def told(answer: Any) -> dict[str, Any]:
    usage = answer.usage
    return {"text": answer.choices[0].message.content, "n_in": usage.prompt_tokens, "n_out": usage.completion_tokens}


def streamed(provider: str, **fields: Any) -> Any:
    """A stream, put together by LiteLLM."""
    parts = list(ask(provider, stream=True, stream_options={"include_usage": True}, **fields))
    return litellm.stream_chunk_builder(parts)


def calls(answer: Any) -> list[dict[str, Any]]:
    made = [call.function for call in answer.choices[0].message.tool_calls or []]
    return [{"name": call.name, "arguments": json.loads(call.arguments)} for call in made]


def answered(provider: str) -> dict[str, Any]:
    message = ask(provider, ASK_WEATHER, tools=[WEATHER]).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": RESULT} for call in message.tool_calls]
    turns = [*user(ASK_WEATHER), message.model_dump(), *results]
    return told(ask(provider, messages=turns, tools=[WEATHER]))


def embedded(provider: str, url: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": f"{provider}/{MODEL}", "api_base": url, "api_key": "none"}
    if provider == "openai":
        fields["encoding_format"] = "float"
    many = litellm.embedding(input=["one text", "another"], **fields).data
    (one,) = litellm.embedding(input=["one text"], **fields).data
    return {"vectors": [row["embedding"] for row in many], "query": one["embedding"]}


def cases(provider: str) -> dict[str, Callable[[], Any]]:
    named = {"type": "function", "function": {"name": "get_time"}}
    seen: dict[str, Callable[[], Any]] = {
        "plain": lambda: told(ask(provider)),
        "stream": lambda: told(streamed(provider)),
        "tools": lambda: calls(ask(provider, ASK_WEATHER, tools=[WEATHER])),
        "toolsStreamed": lambda: calls(streamed(provider, asked=ASK_WEATHER, tools=[WEATHER])),
        "answered": lambda: answered(provider),
        "structured": lambda: json.loads(told(ask(provider, response_format=FORMAT))["text"]),
        "unknownModel": lambda: told(ask(provider, model="nothing")),
        "overflow": lambda: told(ask(provider, TOO_LONG)),
        "badRequest": lambda: told(ask(provider, temperature=-1)),
        "noKey": lambda: told(ask(provider, url=GUARDED, api_key="another-key")),
        "rightKey": lambda: told(ask(provider, url=GUARDED, api_key=KEY))["text"],
    }
    if provider != "ollama_chat":  # which has no tool_choice
        seen |= {
            "required": lambda: calls(ask(provider, ASK_WEATHER, tools=[WEATHER, TIME], tool_choice="required")),
            "named": lambda: calls(ask(provider, ASK_WEATHER, tools=[WEATHER, TIME], tool_choice=named)),
        }
    return seen


report(
    {
        "litellm-openai": {**cases("openai"), "embeddings": lambda: embedded("openai", f"{SERVER}/v1")},
        "litellm-anthropic": cases("anthropic"),
        "litellm-ollama": {**cases("ollama_chat"), "embeddings": lambda: embedded("ollama", SERVER)},
    }
)
