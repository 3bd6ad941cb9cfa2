"""POST /api/workflows/execute: steps of language models, tools and data that depend on each other."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import msgspec
from starlette.routing import BaseRoute, Route

from shimmy.agent.reference import LLM_RESULT
from shimmy.agent.tool_registry import ToolRegistry
from shimmy.agent.workflow import Step
from shimmy.agent.workflow_run import WorkflowResult, WorkflowRunner
from shimmy.discovery.classify import GENERATIVE
from shimmy.errors import InvalidRequestError, ModelNotFoundError, ToolError
from shimmy.grammar import GrammarSpec
from shimmy.models.manager import ModelManager
from shimmy.output import RequestOutput
from shimmy.server.auth import check_scope
from shimmy.server.backend import Backend
from shimmy.server.endpoint import Call, Endpoint, Reply
from shimmy.server.errors import native_error
from shimmy.server.generation import collect
from shimmy.server.native import native_request
from shimmy.server.native_answer import usage_of
from shimmy.server.operation import ANSWER_HEADERS, JSON, MODEL_ERRORS, Family, Operation
from shimmy.server.schemas.chat import MessageIn
from shimmy.server.schemas.decoding import check_size, convert
from shimmy.server.schemas.native import NATIVE_DEFAULTS
from shimmy.server.schemas.workflows import LlmParameters, WorkflowRequest

MAX_WORKFLOW_BYTES = 8 * 1024 * 1024
"""Of a request: its values are looked at again and again."""
DEFAULT_MAX_TOKENS = 512
"""Of an llm step that says nothing: it runs unwatched."""

_EXAMPLE = {
    "workflow": {
        "id": "greeting",
        "steps": [{"id": "ask", "type": "llm", "parameters": {"prompt": "Who are you?", "max_tokens": 32}}],
        "outputs": ["ask"],
    }
}


class WorkflowRoutes:
    """The handler, and the list of routes that lead here."""

    def __init__(self, backend: Backend, tools: ToolRegistry, max_body_bytes: int) -> None:
        self._runner = WorkflowRunner(tools, BackendModels(backend))
        self._max_body_bytes = min(max_body_bytes, MAX_WORKFLOW_BYTES)

    def routes(self) -> list[BaseRoute]:
        execute = Endpoint(self._execute, native_error, self._max_body_bytes)
        return [Route("/api/workflows/execute", execute, methods=["POST"])]

    @Operation(
        Family.SHIMMY,
        "Run steps that depend on each other",
        body=WorkflowRequest,
        example=_EXAMPLE,
        answers={JSON: WorkflowResult},
        sends=ANSWER_HEADERS,
        errors=MODEL_ERRORS,
    )
    async def _execute(self, call: Call) -> Reply:
        body = await call.body.decode(WorkflowRequest)
        check_size(body.context, "context")
        check_size(body.workflow.inputs, "workflow.inputs")
        for index, step in enumerate(body.workflow.steps):
            _check_step(step, f"workflow.steps[{index}]")
        return Reply(msgspec.json.encode(await self._runner.run(body.workflow, body.context)))


class BackendModels:
    """Runs llm steps as requests like any other."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def check(self, parameters: dict[str, Any], place: str) -> None:
        """Placeholders may stand for any value, but not for names. HttpError 403 for a key that may not generate."""
        check_scope("infer")
        known = [name for name in LlmParameters.__struct_fields__ if name != "stream"]
        for name in parameters:
            if name not in known:
                message = f"{place} has no field {name!r}; it takes {', '.join(known)}"
                raise InvalidRequestError(message, f"{place}.{name}")
        if "prompt" not in parameters and "messages" not in parameters:
            raise InvalidRequestError(f"{place}.prompt or {place}.messages is required", f"{place}.prompt")

    async def generate(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Cancelled with the task that waits for it."""
        body = convert(parameters, LlmParameters)
        if body.prompt is not None and body.messages is None and not body.raw:
            body.messages, body.prompt = [MessageIn(role="user", content=body.prompt)], None
        if body.max_tokens is None:
            body.max_tokens = DEFAULT_MAX_TOKENS
        model = body.model or _default_model(self._backend.manager)
        request = native_request(body)
        async with AsyncExitStack() as stack:
            (stream,) = (await self._backend.open(model, [request], stack, NATIVE_DEFAULTS)).streams
            output = await collect(stream)
        result: dict[str, Any] = {
            "type": LLM_RESULT,
            "text": output.text,
            "model": model,
            "finish_reason": output.finish_reason,
            "usage": msgspec.to_builtins(usage_of(output.usage)),
        }
        if output.reasoning:
            result["reasoning"] = output.reasoning
        if _is_json(request.grammar) and output.finish_reason == "stop":
            result["json"] = _json_of(output)
        return result


def _json_of(output: RequestOutput) -> Any:
    try:
        return msgspec.json.decode(output.text)
    except (msgspec.DecodeError, RecursionError) as error:
        why = f"it ended at the stop text {output.stop_reason!r}" if output.stop_reason is not None else str(error)
        raise ToolError(f"the answer is not whole JSON: {why}") from error


def _is_json(grammar: GrammarSpec | None) -> bool:
    return grammar is not None and (grammar.json_object or grammar.json_schema is not None)


def _check_step(step: Step, place: str) -> None:
    check_size(step.parameters, f"{place}.parameters")
    check_size(step.step_type, f"{place}.step_type")


def _default_model(manager: ModelManager) -> str:
    """The loaded model that was used last, of those that generate, else the first that can chat."""
    entries = manager.registry.entries()
    others = {entry.engine for entry in entries if entry.kind not in GENERATIVE}
    loaded = [status for status in manager.statuses() if status.state == "loaded" and status.name not in others]
    if loaded:
        return max(loaded, key=lambda status: status.last_used or 0.0).name
    for entry in entries:
        if entry.kind == "chat":
            return entry.name
    raise ModelNotFoundError("the step names no model, and there is none that can chat")
