"""What a workflow says: its steps, what they depend on, and whether that can be done at all."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from shimmy.agent.expression import parse_expression
from shimmy.agent.placeholders import names_in
from shimmy.agent.transform import Transform
from shimmy.errors import InvalidRequestError, ToolError

StepType: TypeAlias = Literal["llm", "tool", "data_transform", "conditional"]

MAX_STEPS = 256
"""Of one workflow, those inside of conditional steps counted too."""
MAX_NESTING = 8
"""Conditional steps inside of conditional steps."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]


class Step(msgspec.Struct, kw_only=True):
    """One step. What its type needs stands in `parameters`, or beside the type in `step_type` (the older form)."""

    id: Name | None = None
    """Required but inside of a conditional step, where nothing asks for it."""
    type: str | None = None
    step_type: dict[str, Any] | None = None
    depends_on: Annotated[list[Name], Meta(max_length=MAX_STEPS)] = []
    parameters: dict[str, Any] = {}


class Workflow(msgspec.Struct, kw_only=True):
    """Steps, and the values that they start from."""

    id: Name
    name: str = ""
    description: str = ""
    steps: Annotated[list[Step], Meta(max_length=MAX_STEPS)]
    inputs: dict[str, Any] = {}
    """Variables, which go before those of the request's context."""
    outputs: Annotated[list[Name], Meta(max_length=MAX_STEPS)] = []
    """Ids of steps whose results are the workflow's."""


class CallParameters(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of a tool step."""

    tool_name: Name
    arguments: dict[str, Any] = {}


class ChoiceParameters(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of a conditional step."""

    condition: str
    if_true: Step
    if_false: Step | None = None


class PlannedStep(msgspec.Struct, kw_only=True):
    """A step that can be run: its type's parameters are there, and of their types."""

    id: str
    type: StepType
    depends_on: list[str]
    parameters: dict[str, Any]
    place: str
    """Where it stands in the request."""
    names: frozenset[str] = frozenset()
    """The variables that it looks up."""
    transform: Transform | None = None
    condition: str | None = None
    if_true: PlannedStep | None = None
    if_false: PlannedStep | None = None

    def inner(self) -> Iterator[PlannedStep]:
        """It and the steps inside of it."""
        yield self
        for step in (self.if_true, self.if_false):
            if step is not None:
                yield from step.inner()


class Plan(msgspec.Struct, frozen=True):
    """Steps by id, and the ids of those that each waits for."""

    steps: dict[str, PlannedStep]
    needs: dict[str, frozenset[str]]


def plan_of(workflow: Workflow) -> Plan:
    """The workflow, checked. A step also depends on those whose results it names. InvalidRequestError says what is
    wrong and where: an unknown type, missing parameters, an id given twice or to no step, a cycle, too many steps.
    """
    steps: dict[str, PlannedStep] = {}
    needs: dict[str, set[str]] = {}
    n_steps = 0
    for index, step in enumerate(workflow.steps):
        place = f"workflow.steps[{index}]"
        if step.id is None:
            raise InvalidRequestError(f"{place}.id is required", f"{place}.id")
        if step.id in steps:
            raise InvalidRequestError(f"{place}.id is {step.id!r}, as another step's", f"{place}.id")
        steps[step.id] = planned = _planned(step, place, 1)
        needs[step.id] = set()
        n_steps += sum(1 for _ in planned.inner())
        if n_steps > MAX_STEPS:
            raise InvalidRequestError(f"the workflow has more than {MAX_STEPS} steps", "workflow.steps")
    if not steps:
        raise InvalidRequestError("workflow.steps must hold at least one step", "workflow.steps")
    for name, planned in steps.items():
        for inner in planned.inner():
            needs[name] |= {*inner.depends_on, *(other for other in steps if f"step_{other}" in inner.names)}
    for name, ids in needs.items():
        for other in sorted(ids - steps.keys()):
            place = f"{steps[name].place}.depends_on"
            raise InvalidRequestError(f"{place} names {other!r}; there are {', '.join(steps)}", place)
    for name in workflow.outputs:
        if name not in steps:
            raise InvalidRequestError(
                f"workflow.outputs names {name!r}; there are {', '.join(steps)}", "workflow.outputs"
            )
    _check_cycles(needs)
    return Plan(steps, {name: frozenset(ids) for name, ids in needs.items()})


def _check_cycles(needs: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        around = " -> ".join(reversed(error.args[1]))
        raise InvalidRequestError(f"the steps wait for each other in a circle: {around}", "workflow.steps") from None


def _planned(step: Step, place: str, depth: int) -> PlannedStep:
    if depth > MAX_NESTING:
        raise InvalidRequestError(f"{place} is nested in more than {MAX_NESTING} conditional steps", place)
    given = dict(step.step_type or {})
    kind: Any = given.pop("type", None) or step.type
    if kind not in get_args(StepType):
        known = ", ".join(get_args(StepType))
        raise InvalidRequestError(f"{place}.type must be one of {known}, got {kind!r}", f"{place}.type")
    parameters = {**given, **step.parameters}
    planned = PlannedStep(id=step.id or "", type=kind, depends_on=step.depends_on, parameters=parameters, place=place)
    place = f"{place}.parameters"
    try:
        if kind == "tool":
            _converted(parameters, CallParameters, place)
        elif kind == "data_transform":
            planned.transform = _converted(parameters, Transform, place)
        elif kind == "conditional":
            choice = _converted(parameters, ChoiceParameters, place)
            planned.condition = choice.condition
            planned.if_true = _planned(choice.if_true, f"{place}.if_true", depth + 1)
            if choice.if_false is not None:
                planned.if_false = _planned(choice.if_false, f"{place}.if_false", depth + 1)
        planned.names = frozenset(_named(planned))
    except ToolError as error:
        raise InvalidRequestError(f"{place}: {error.message}", place) from error
    return planned


def _named(step: PlannedStep) -> set[str]:
    """The variables that a step looks up. ToolError for an expression or a placeholder that is wrong."""
    if step.type == "conditional":
        return set(parse_expression(step.condition or "").names)
    return names_in(step.parameters) if step.transform is None else step.transform.names()


def _converted(parameters: dict[str, Any], kind: Any, place: str) -> Any:
    try:
        return msgspec.convert(parameters, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"{place} do not fit: {error}", place) from error
