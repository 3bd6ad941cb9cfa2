"""Running a workflow: every step as soon as those that it depends on are done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from graphlib import TopologicalSorter
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from shimmy.agent.daemon_threads import DaemonThreads
from shimmy.agent.evaluation import Evaluation
from shimmy.agent.expression import parse_expression, truth
from shimmy.agent.placeholders import Filling
from shimmy.agent.tool_registry import ToolRegistry
from shimmy.agent.value_path import kind_of
from shimmy.agent.value_size import check_size
from shimmy.agent.workflow import Plan, PlannedStep, Workflow, plan_of
from shimmy.errors import InvalidRequestError, ShimmyError, ToolError, ToolNotFoundError

MAX_AT_ONCE = 16
"""Steps of one workflow that run at the same time."""
MAX_SECONDS = 600.0
"""Of a whole workflow; what still runs then is cancelled."""
MAX_RESULT_BYTES = 1 << 20
"""Of one step's result as JSON."""
MAX_TOTAL_BYTES = 16 << 20
"""Of all results."""

logger = logging.getLogger("shimmy.agent")


class LanguageModels(Protocol):
    """What runs llm steps."""

    def check(self, parameters: dict[str, Any], place: str) -> None:
        """InvalidRequestError for what no values of its placeholders can mend."""

    async def generate(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Run the filled-in parameters. The result has a `text`, and LLM_RESULT as `type`."""


class StepResult(msgspec.Struct, kw_only=True):
    step_id: str
    success: bool
    result: Any = None
    error: str | UnsetType = UNSET
    execution_time_ms: int = 0


class WorkflowResult(msgspec.Struct, kw_only=True):
    workflow_id: str
    success: bool
    """Every step succeeded."""
    step_results: dict[str, StepResult]
    outputs: dict[str, Any]
    """The results of the steps that the workflow names; null for one that failed."""
    error: str | UnsetType = UNSET
    execution_time_ms: int


class WorkflowRunner:
    """Runs workflows with these tools and models."""

    def __init__(self, tools: ToolRegistry, models: LanguageModels, *, seconds: float = MAX_SECONDS) -> None:
        self._tools = tools
        self._models = models
        self._seconds = seconds
        self._threads = DaemonThreads("shimmy-workflow")

    async def run(self, workflow: Workflow, context: dict[str, Any]) -> WorkflowResult:
        """Run all that can be run: steps that do not wait for each other at the same time, none that depends on a
        failed one. InvalidRequestError for a workflow that cannot be run at all. Cancelling ends its steps.
        """
        plan = await self._threads.run(partial(plan_of, workflow))
        for outer in plan.steps.values():
            for step in outer.inner():
                self._check(step)
        begin = time.perf_counter()
        run = _Run(plan, {**context, **workflow.inputs}, self._tools, self._models, self._threads)
        results = await run.results(self._seconds)
        failed = [result for result in results.values() if not result.success]
        return WorkflowResult(
            workflow_id=workflow.id,
            success=not failed,
            step_results=results,
            outputs={name: results[name].result for name in workflow.outputs},
            error=f"step {failed[0].step_id!r} failed: {failed[0].error}" if failed else UNSET,
            execution_time_ms=_milliseconds(begin),
        )

    def _check(self, step: PlannedStep) -> None:
        place = f"{step.place}.parameters"
        if step.type == "llm":
            self._models.check(step.parameters, place)
        if step.type != "tool" or "{{" in step.parameters["tool_name"]:
            return
        try:
            self._tools.get(step.parameters["tool_name"])
        except ToolNotFoundError as error:
            raise InvalidRequestError(f"{place}.tool_name: {error.message}", f"{place}.tool_name") from error


class _Run:
    """One workflow under way."""

    def __init__(
        self,
        plan: Plan,
        variables: dict[str, Any],
        tools: ToolRegistry,
        models: LanguageModels,
        threads: DaemonThreads,
    ) -> None:
        self._plan = plan
        self._variables = variables
        self._before: dict[str, frozenset[str]] = {}
        self._tools = tools
        self._models = models
        self._threads = threads
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._results: dict[str, StepResult] = {}
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._left = MAX_TOTAL_BYTES

    async def results(self, seconds: float) -> dict[str, StepResult]:
        """Of every step, in the order of the workflow."""
        try:
            for name in TopologicalSorter(self._plan.needs).static_order():
                self._tasks[name] = asyncio.ensure_future(self._when_ready(name))
            await asyncio.wait(self._tasks.values(), timeout=seconds)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.wait(self._tasks.values())
        late = f"not finished: the workflow's {seconds:g} seconds were over"
        return {name: self._results.get(name) or _failure(name, late) for name in self._plan.steps}

    async def _when_ready(self, name: str) -> None:
        needs = self._plan.needs[name]
        if needs:
            await asyncio.wait([self._tasks[other] for other in needs])
        self._before[name] = needs.union(*(self._before[other] for other in needs))
        failed = [other for other in sorted(needs) if not self._results[other].success]
        if failed:
            self._results[name] = _failure(name, f"not run: it depends on step {failed[0]!r}, which failed")
            return
        async with self._turns:
            self._results[name] = await self._timed(self._plan.steps[name])

    async def _timed(self, step: PlannedStep) -> StepResult:
        begin = time.perf_counter()
        try:
            result = await self._do(step, self._scope_of(step.id))
            self._keep(await self._threads.run(partial(_size_of, result)))
        except ShimmyError as error:
            return _failure(step.id, error.message, begin)
        except Exception:
            logger.exception("a step of a workflow failed unexpectedly")
            return _failure(step.id, "failed unexpectedly: the server's log says more", begin)
        return StepResult(step_id=step.id, success=True, result=result, execution_time_ms=_milliseconds(begin))

    def _scope_of(self, name: str) -> dict[str, Any]:
        """The variables, and the results of all steps before this one: others may or may not be there yet."""
        return self._variables | {f"step_{other}": self._results[other].result for other in self._before[name]}

    async def _do(self, step: PlannedStep, scope: dict[str, Any]) -> Any:
        if step.type == "conditional":
            return await self._choose(step, scope)
        if step.transform is not None:
            return await self._compute(step.transform.run, scope)
        filled = await self._compute(lambda evaluation: Filling(evaluation).fill(step.parameters), scope)
        if step.type == "llm":
            return await self._models.generate(filled)
        name = filled["tool_name"]
        if not isinstance(name, str):
            raise ToolError(f"tool_name came to {kind_of(name)}, not to the name of a tool")
        answer = await self._tools.execute(name, filled.get("arguments", {}))
        if not answer.success:
            raise ToolError(answer.error or "the tool failed")
        return answer.result

    async def _choose(self, step: PlannedStep, scope: dict[str, Any]) -> Any:
        expression = parse_expression(step.condition or "")
        chosen = truth(await self._compute(lambda evaluation: expression.evaluate(scope, evaluation), scope))
        inner = step.if_true if chosen else step.if_false
        return {"skipped": True} if inner is None else await self._do(inner, scope)

    async def _compute(self, work: Callable[[Evaluation], Any], scope: dict[str, Any]) -> Any:
        """On a thread, which soon stops when this is cancelled."""
        evaluation = Evaluation(scope)
        try:
            return await self._threads.run(lambda: work(evaluation))
        finally:
            evaluation.cancel()

    def _keep(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ToolError(f"the results have more than {MAX_TOTAL_BYTES} bytes together")


def _size_of(result: Any) -> int:
    """In bytes, as JSON. ToolError for one that is too large."""
    check_size(result, MAX_RESULT_BYTES, "the result")
    size = len(msgspec.json.encode(result))
    if size > MAX_RESULT_BYTES:
        raise ToolError(f"the result has {size} bytes, the limit is {MAX_RESULT_BYTES}")
    return size


def _failure(step_id: str, error: str, begin: float | None = None) -> StepResult:
    spent = 0 if begin is None else _milliseconds(begin)
    return StepResult(step_id=step_id, success=False, error=error, execution_time_ms=spent)


def _milliseconds(begin: float) -> int:
    return round((time.perf_counter() - begin) * 1000)
