"""@name@: an application in front of shimmy."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from openai import APIConnectionError, APIStatusError, AsyncOpenAI
from pydantic import BaseModel, Field

MODEL = os.environ.get("MODEL", "shimmy-mini")
client = AsyncOpenAI(
    base_url=os.environ.get("SHIMMY_URL", "http://127.0.0.1:11435/v1"),
    api_key=os.environ.get("SHIMMY_API_KEY", "none"),
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await client.close()


app = FastAPI(title="@name@", lifespan=lifespan)


class Question(BaseModel):
    text: str = Field(min_length=1, max_length=10_000)
    max_tokens: int = Field(default=256, ge=1, le=4096)


class Answer(BaseModel):
    text: str


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/ask")
async def ask(question: Question) -> Answer:
    """The whole answer."""
    try:
        completion = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": question.text}], max_tokens=question.max_tokens
        )
    except (APIConnectionError, APIStatusError) as error:
        raise _as_http(error) from error
    return Answer(text=completion.choices[0].message.content or "")


@app.post("/stream")
async def stream(question: Question) -> StreamingResponse:
    """The answer as plain text while it comes. A client that leaves ends it."""
    try:
        chunks = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": question.text}],
            max_tokens=question.max_tokens,
            stream=True,
        )
    except (APIConnectionError, APIStatusError) as error:
        raise _as_http(error) from error

    async def texts() -> AsyncIterator[str]:
        async with chunks:
            async for chunk in chunks:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content

    return StreamingResponse(texts(), media_type="text/plain; charset=utf-8")


def _as_http(error: APIConnectionError | APIStatusError) -> HTTPException:
    if isinstance(error, APIStatusError):
        return HTTPException(error.status_code, error.message)
    return HTTPException(503, "shimmy cannot be reached: is `shimmy serve` running?")
