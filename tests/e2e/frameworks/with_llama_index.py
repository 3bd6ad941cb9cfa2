"""LlamaIndex by its package for servers that speak OpenAI's protocol."""

from __future__ import annotations

from typing import Any, Literal

from llama_index.core.llms import ChatMessage, MessageRole
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel
from report import ASK_WEATHER, GUARDED, KEY, MODEL, QUESTION, RESULT, SERVER, TOO_LONG, report


class City(BaseModel):
    """A city."""

    city: Literal["Paris", "Rome"]
    capital: bool


def get_weather(city: str) -> str:
    """Get the current weather in a city"""
    return RESULT


def get_time(city: str) -> str:
    """Get the time in a city"""
    return "12:00"


WEATHER, TIME = (FunctionTool.from_defaults(fn) for fn in (get_weather, get_time))


def like(url: str = SERVER, key: str = "none", **fields: Any) -> OpenAILike:
    given = {"model": MODEL, "temperature": 0, "max_tokens": 200, "max_retries": 0, "context_window": 2048, **fields}
    return OpenAILike(api_base=f"{url}/v1", api_key=key, is_chat_model=True, is_function_calling_model=True, **given)


def user(text: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=text)]


def told(answer: Any) -> dict[str, Any]:
    usage = answer.raw.usage
    return {"text": answer.message.content, "n_in": usage.prompt_tokens, "n_out": usage.completion_tokens}


def calls(answer: Any) -> list[dict[str, Any]]:
    made = like().get_tool_calls_from_response(answer)
    return [{"name": call.tool_name, "arguments": call.tool_kwargs} for call in made]


def called(tools: list[FunctionTool], **fields: Any) -> list[dict[str, Any]]:
    return calls(like().chat_with_tools(tools, user_msg=ASK_WEATHER, **fields))


def answered() -> dict[str, Any]:
    model = like()
    said = model.chat_with_tools([WEATHER], user_msg=ASK_WEATHER)
    turns = [*user(ASK_WEATHER), said.message]
    for call in model.get_tool_calls_from_response(said):
        turns.append(
            ChatMessage(role=MessageRole.TOOL, content=RESULT, additional_kwargs={"tool_call_id": call.tool_id})
        )
    return told(model.chat(turns, tools=[WEATHER.metadata.to_openai_tool()]))


def streamed() -> dict[str, Any]:
    return {"text": "".join(part.delta or "" for part in like().stream_chat(user(QUESTION)))}


report(
    {
        "llama-index": {
            "plain": lambda: told(like().chat(user(QUESTION))),
            "stream": streamed,
            "tools": lambda: called([WEATHER]),
            "toolsStreamed": lambda: calls(list(like().stream_chat_with_tools([WEATHER], user_msg=ASK_WEATHER))[-1]),
            "answered": answered,
            "required": lambda: called([WEATHER, TIME], tool_required=True),
            "named": lambda: called([WEATHER, TIME], tool_choice="get_time"),
            "structured": lambda: (
                like(should_use_structured_outputs=True)
                .structured_predict(City, PromptTemplate("{asked}"), asked=QUESTION)
                .model_dump()
            ),
            "structuredByCall": lambda: (
                like().structured_predict(City, PromptTemplate("{asked}"), asked=QUESTION).model_dump()
            ),
            "unknownModel": lambda: told(like(model="nothing").chat(user(QUESTION))),
            "overflow": lambda: told(like().chat(user(TOO_LONG))),
            "badRequest": lambda: told(like(additional_kwargs={"top_p": -1}).chat(user(QUESTION))),
            "noKey": lambda: told(like(GUARDED, "another-key").chat(user(QUESTION))),
            "rightKey": lambda: told(like(GUARDED, KEY).chat(user(QUESTION)))["text"],
        }
    }
)
