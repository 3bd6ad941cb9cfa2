"""LangChain's packages for OpenAI (chat and Responses), Anthropic and Ollama."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from operator import add
from typing import Annotated, Any, Literal

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field
from report import (
    ASK_WEATHER,
    GIVEN,
    GUARDED,
    KEY,
    MODEL,
    QUESTION,
    RESULT,
    SERVER,
    TOO_LONG,
    crowd,
    last_request,
    report,
)


class City(BaseModel):
    """A city."""

    city: Literal["Paris", "Rome"]
    capital: bool


WITHOUT_END = {"ignore_eos": True, "context_policy": "shift"}

Name = Annotated[str, Field(max_length=12)]


@tool
def get_weather(city: Name) -> str:
    """Get the current weather in a city"""
    return RESULT


@tool
def get_time(city: Name) -> str:
    """Get the time in a city"""
    return "12:00"


def fields_of(client: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "temperature": 0, **GIVEN.get(client, {}), **fields}


def openai(url: str = SERVER, key: str = "none", client: str = "langchain-openai", **fields: Any) -> Any:
    given = fields_of(client, **{"max_retries": 0, "max_tokens": 200, **fields})
    return ChatOpenAI(base_url=f"{url}/v1", api_key=key, stream_usage=True, **given)


def responses(*where: str, **fields: Any) -> Any:
    return openai(*where, client="langchain-openai-responses", use_responses_api=True, **fields)


def anthropic(url: str = SERVER, key: str = "none", **fields: Any) -> Any:
    given = fields_of("langchain-anthropic", **{"max_retries": 0, "max_tokens": 200, **fields})
    return ChatAnthropic(base_url=url, api_key=key, **given)


def ollama(url: str = SERVER, key: str = "none", **fields: Any) -> Any:
    given = fields_of("langchain-ollama", **{"repeat_penalty": 1.0, "num_predict": 200, **fields})
    return ChatOllama(base_url=url, client_kwargs={"headers": {"Authorization": f"Bearer {key}"}}, **given)


def endless(make: Callable[..., Any], n: int) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A model whose answers end at `n` tokens only, and what its calls need for that."""
    if make is ollama:
        return make, {"options": {"temperature": 0, "num_predict": n, **WITHOUT_END}}
    body = {"extra_body": WITHOUT_END}
    return partial(make, max_tokens=n, **({"model_kwargs": body} if make is anthropic else body)), {}


def told(message: Any) -> dict[str, Any]:
    usage = message.usage_metadata
    return {"text": message.text, "n_in": usage["input_tokens"], "n_out": usage["output_tokens"]}


def streamed(model: Any, asked: Any) -> Any:
    return reduce(add, model.stream(asked))


def calls(message: Any) -> list[dict[str, Any]]:
    assert not message.invalid_tool_calls, message
    return [{"name": call["name"], "arguments": call["args"]} for call in message.tool_calls]


def answered(model: Any) -> dict[str, Any]:
    model = model.bind_tools([get_weather])
    asked = [HumanMessage(ASK_WEATHER)]
    said = model.invoke(asked)
    results = [ToolMessage(RESULT, tool_call_id=call["id"]) for call in said.tool_calls]
    return told(model.invoke([*asked, said, *results]))


def structured(model: Any, method: str) -> Any:
    return model.with_structured_output(City, method=method).invoke(QUESTION).model_dump()


def conversation(model: Any) -> dict[str, Any]:
    turns = [HumanMessage(QUESTION), AIMessage("The capital of France is Paris."), HumanMessage("Who are you?")]
    return told(model.invoke([SystemMessage("You are Shimmy."), *turns]))


def crowded(make: Callable[..., Any]) -> dict[str, Any]:
    model, said = endless(make, 400)
    return crowd(lambda: model(GUARDED, KEY).invoke(QUESTION, **said).text)


def left(make: Callable[..., Any]) -> Any:
    """A stream that its reader leaves after the first text."""
    model, said = endless(make, 10_000_000)
    stream = model().stream(QUESTION, **said)
    next(part for part in stream if part.text)
    stream.close()
    return last_request()


def cases(make: Callable[..., Any]) -> dict[str, Callable[[], Any]]:
    seen: dict[str, Callable[[], Any]] = {
        "plain": lambda: told(make().invoke(QUESTION)),
        "stream": lambda: told(streamed(make(), QUESTION)),
        "batch": lambda: [one.text for one in make().batch([QUESTION] * 4)],
        "conversation": lambda: conversation(make()),
        "tools": lambda: calls(make().bind_tools([get_weather]).invoke(ASK_WEATHER)),
        "toolsStreamed": lambda: calls(streamed(make().bind_tools([get_weather]), ASK_WEATHER)),
        "answered": lambda: answered(make()),
        "structured": lambda: structured(make(), "json_schema"),
        "unknownModel": lambda: make(model="nothing").invoke(QUESTION),
        "overflow": lambda: make().invoke(TOO_LONG),
        "badRequest": lambda: make(temperature=-1).invoke(QUESTION),
        "noKey": lambda: make(GUARDED, "another-key").invoke(QUESTION),
        "rightKey": lambda: make(GUARDED, KEY).invoke(QUESTION).text,
        "crowd": lambda: crowded(make),
        "left": lambda: left(make),
    }
    if make is not ollama:  # which has no tool_choice

        def bound(choice: str) -> Any:
            return make().bind_tools([get_weather, get_time], tool_choice=choice, parallel_tool_calls=False)

        seen |= {
            "required": lambda: calls(bound("any").invoke(ASK_WEATHER)),
            "requiredStreamed": lambda: calls(streamed(bound("any"), ASK_WEATHER)),
            "named": lambda: calls(bound("get_time").invoke(ASK_WEATHER)),
            "namedStreamed": lambda: calls(streamed(bound("get_time"), ASK_WEATHER)),
            "structuredByCall": lambda: structured(make(), "function_calling"),
        }
    return seen


def embedded(model: Any) -> dict[str, Any]:
    return {"vectors": model.embed_documents(["one text", "another"]), "query": model.embed_query("one text")}


openai_embeddings = {"model": MODEL, "base_url": f"{SERVER}/v1", "api_key": "none"}

report(
    {
        "langchain-openai": {
            **cases(openai),
            # Its own count of tokens is that of OpenAI's models, whose vocabularies it would download.
            "embeddings": lambda: embedded(OpenAIEmbeddings(**openai_embeddings, check_embedding_ctx_length=False)),
        },
        "langchain-openai-responses": cases(responses),
        "langchain-anthropic": cases(anthropic),
        "langchain-ollama": {
            **cases(ollama),
            "embeddings": lambda: embedded(OllamaEmbeddings(model=MODEL, base_url=SERVER)),
        },
    }
)
