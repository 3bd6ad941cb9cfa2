"""Workflows: what can be run, in which order, and what comes of it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shimmy.agent.placeholders import Filling
from shimmy.agent.tool_registry import ToolRegistry
from shimmy.agent.workflow import MAX_NESTING, Plan, Workflow, plan_of
from shimmy.agent.workflow_run import WorkflowResult, WorkflowRunner
from shimmy.errors import InvalidRequestError, ModelNotFoundError


class Model:
    """Answers with the prompt in capitals; "hang", "fail" and "bug" do what they say."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.at_once = self.most_at_once = 0
        self.cancelled = 0
        self.busy = asyncio.Event()

    def check(self, parameters: dict[str, Any], place: str) -> None:
        if "prompt" not in parameters:
            raise InvalidRequestError(f"{place}.prompt is required", f"{place}.prompt")

    async def generate(self, parameters: dict[str, Any]) -> dict[str, Any]:
        prompt = str(parameters["prompt"])
        self.prompts.append(prompt)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if prompt == "hang":
                if self.at_once == 3:
                    self.busy.set()
                await asyncio.sleep(3600)
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1
        if prompt == "fail":
            raise ModelNotFoundError("no such model")
        if prompt == "bug":
            raise KeyError("x")
        return {"type": "llm_generation", "text": prompt.upper()}


def step(name: str, kind: str, *needs: str, **parameters: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "depends_on": list(needs), "parameters": parameters}


def workflow_of(*steps: Any, **fields: Any) -> Workflow:
    return msgspec.convert({"id": "w", "name": "n", "description": "d", "steps": list(steps), **fields}, Workflow)


def run(
    *steps: Any, model: Model | None = None, seconds: float = 5, context: Any = None, **fields: Any
) -> WorkflowResult:
    tools = ToolRegistry(plugins=False)
    runner = WorkflowRunner(tools, model or Model(), seconds=seconds)
    return asyncio.run(runner.run(workflow_of(*steps, **fields), context or {}))


def results(result: WorkflowResult) -> dict[str, Any]:
    return {name: one.result if one.success else f"! {one.error}" for name, one in result.step_results.items()}


def test_every_type_of_step() -> None:
    model = Model()
    result = run(
        step("ask", "llm", prompt="say {{word}}"),
        step("count", "tool", "ask", tool_name="text_statistics", arguments={"text": "{{step_ask}}"}),
        step("words", "data_transform", "count", operation="extract", expression="step_count.words"),
        step("all", "data_transform", operation="extract", expression="step_ask"),
        step("seen", "conditional", condition="step_ask == 'SAY HELLO'", if_true=step("x", "llm", prompt="seen")),
        step(
            "long",
            "conditional",
            "words",
            condition="step_words > 1",
            if_true=step("yes", "llm", prompt="{{step_words}} words"),
            if_false=step("no", "llm", prompt="short"),
        ),
        model=model,
        context={"word": "nothing", "other": 1},
        inputs={"word": "hello"},
        outputs=["words", "long"],
    )
    assert result.success
    assert msgspec.to_builtins(result).keys() == {
        "workflow_id", "success", "step_results", "outputs", "execution_time_ms"
    }  # fmt: skip
    assert (result.workflow_id, list(result.step_results)) == ("w", ["ask", "count", "words", "all", "seen", "long"])
    assert result.outputs == {"words": 2, "long": {"type": "llm_generation", "text": "2 WORDS"}}
    assert model.prompts[0] == "say hello"
    assert sorted(model.prompts[1:]) == ["2 words", "seen"]
    assert result.step_results["all"].result["type"] == "llm_generation"
    assert all(one.execution_time_ms >= 0 and one.step_id == name for name, one in result.step_results.items())


def test_the_form_of_older_clients() -> None:
    steps = [
        {"id": "a", "step_type": {"type": "llm", "prompt": "hi"}, "depends_on": [], "parameters": {}},
        {
            "id": "b",
            "step_type": {
                "type": "conditional",
                "condition": '{{mode}} == "x"',
                "if_true": {
                    "id": "c",
                    "step_type": {"type": "llm", "prompt": "yes"},
                    "depends_on": [],
                    "parameters": {},
                },
                "if_false": None,
            },
            "depends_on": ["a"],
            "parameters": {},
        },
    ]
    assert results(run(*steps, context={"mode": "x"}))["b"]["text"] == "YES"
    assert results(run(*steps, context={"mode": "y"}))["b"] == {"skipped": True}


def test_naming_a_result_is_depending_on_it() -> None:
    model = Model()
    result = run(
        step("last", "llm", prompt="{{step_middle.text}}!"),
        step("middle", "llm", prompt="{{step_first}}?"),
        step("first", "llm", prompt="x"),
        model=model,
    )
    assert result.success
    assert model.prompts == ["x", "X?", "X?!"]


def test_what_is_inside_of_a_step_waits_too() -> None:
    model = Model()
    inner = step("inner", "llm", "first", prompt="{{step_second}}")
    result = run(
        step("choice", "conditional", condition="true", if_true=inner),
        step("first", "llm", "second", prompt="1"),
        step("second", "llm", prompt="two"),
        model=model,
    )
    assert result.success
    assert model.prompts == ["two", "1", "TWO"]


def test_independent_steps_run_at_the_same_time() -> None:
    model = Model()
    names = [f"s{number}" for number in range(20)]
    result = run(
        *(step(name, "llm", prompt=name) for name in names), step("all", "llm", *names, prompt="x"), model=model
    )
    assert result.success
    assert model.most_at_once == 16
    assert model.prompts[-1] == "x"


def test_what_depends_on_a_failed_step_does_not_run() -> None:
    model = Model()
    result = run(
        step("bad", "llm", prompt="fail"),
        step("after", "llm", "bad", prompt="never"),
        step("later", "llm", "after", prompt="never"),
        step("other", "llm", prompt="fine"),
        step("bug", "llm", prompt="bug"),
        step("sum", "tool", tool_name="calculator", arguments={"expression": "1/0"}),
        model=model,
        outputs=["bad", "other"],
    )
    assert not result.success
    assert result.error == "step 'bad' failed: no such model"
    assert results(result) == {
        "bad": "! no such model",
        "after": "! not run: it depends on step 'bad', which failed",
        "later": "! not run: it depends on step 'after', which failed",
        "other": {"type": "llm_generation", "text": "FINE"},
        "bug": "! failed unexpectedly: the server's log says more",
        "sum": "! division by zero",
    }
    assert result.outputs["bad"] is None
    assert "never" not in model.prompts


@pytest.mark.parametrize(
    ("steps", "fields", "words", "param"),
    [
        ([], {}, "at least one step", "workflow.steps"),
        ([step("a", "magic")], {}, "type must be one of llm, tool, data_transform, conditional, got 'magic'", None),
        ([{"id": "a"}], {}, "got None", "workflow.steps[0].type"),
        ([{"type": "llm"}], {}, "workflow.steps[0].id is required", "workflow.steps[0].id"),
        ([step("a", "llm", prompt="x")] * 2, {}, "as another step's", "workflow.steps[1].id"),
        ([step("a", "llm", "b", prompt="x")], {}, "names 'b'; there are a", "workflow.steps[0].depends_on"),
        ([step("a", "llm", prompt="x")], {"outputs": ["z"]}, "workflow.outputs names 'z'; there are a", None),
        ([step("a", "llm", "a", prompt="x")], {}, "in a circle: a -> a", "workflow.steps"),
        (
            [step("a", "llm", prompt="{{step_b}}"), step("b", "llm", "a", prompt="x")],
            {},
            "in a circle",
            "workflow.steps",
        ),
        ([step("a", "tool")], {}, "missing required field `tool_name`", "workflow.steps[0].parameters"),
        ([step("a", "tool", tool_name="rm")], {}, "there is no tool 'rm'; there are calculator", None),
        ([step("a", "data_transform", operation="fold", expression="x")], {}, "Invalid enum value 'fold'", None),
        ([step("a", "data_transform", operation="map", expression="x")], {}, "map needs input", None),
        ([step("a", "data_transform", operation="map", input=[], expression="1 +")], {}, "wrong at its end", None),
        (
            [step("a", "conditional", condition="x =", if_true=step("b", "llm", prompt="x"))],
            {},
            "is wrong at '='",
            None,
        ),
        ([step("a", "conditional", condition="x")], {}, "missing required field `if_true`", None),
        (
            [step("a", "conditional", condition="x", if_true=step("b", "tool", tool_name="rm"))],
            {},
            "there is no tool 'rm'",
            "workflow.steps[0].parameters.if_true.parameters.tool_name",
        ),
        ([step("a", "llm", prompt="{{ }}")], {}, "names no variable", None),
        ([step("a", "llm")], {}, "workflow.steps[0].parameters.prompt is required", None),
        (
            [step(f"s{n}", "conditional", condition="true", if_true=step("i", "llm", prompt="x")) for n in range(129)],
            {},
            "more than 256 steps",
            None,
        ),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_runs(
    steps: Any, fields: Any, words: str, param: str | None
) -> None:
    model = Model()
    with pytest.raises(InvalidRequestError) as caught:
        run(*steps, model=model, **fields)
    assert words in caught.value.message
    assert param is None or caught.value.param == param
    assert model.prompts == []


def test_nesting_is_bounded() -> None:
    inner = step("x", "llm", prompt="deep")
    for _ in range(MAX_NESTING - 1):
        inner = step("c", "conditional", condition="true", if_true=inner)
    assert results(run(inner))["c"]["text"] == "DEEP"
    with pytest.raises(InvalidRequestError, match="nested in more than 8"):
        run(step("c", "conditional", condition="true", if_true=inner))


def transformed(variables: Any = None, **parameters: Any) -> Any:
    return results(
        run(step("t", "data_transform", **parameters), context=variables or {"items": [1, 2, 3, 4], "n": 2})
    )["t"]


def test_transformations() -> None:
    assert transformed(operation="extract", expression="items[1]") == 2
    assert transformed(operation="extract", expression="{{items}}") == [1, 2, 3, 4]
    assert transformed(operation="extract", expression="$[*].a", input=[{"a": 1}, {}, {"a": 2}]) == [1, 2]
    assert transformed(operation="filter", input="{{items}}", expression="item > n and index < 3") == [3]
    assert transformed(operation="map", input="{{items}}", expression="item * n") == [2, 4, 6, 8]
    assert transformed(operation="reduce", input="{{items}}", expression="acc + item") == 10
    assert transformed(operation="reduce", input=["a"], initial="", expression="acc + item") == "a"
    assert transformed(operation="reduce", input=[], initial=0, expression="acc") == 0
    for words, parameters in {
        "there is no variable 'x'": {"operation": "extract", "expression": "x"},
        "filter needs a list as input, not a number": {"operation": "filter", "input": "{{n}}", "expression": "true"},
        "came to a number": {"operation": "filter", "input": [1], "expression": "item"},
        "list is empty": {"operation": "reduce", "input": [], "expression": "acc"},
        "10001 members": {"operation": "map", "input": [0] * 10001, "expression": "item"},
        "more than 1000000 steps": {"operation": "map", "input": [0] * 9999, "expression": "+".join(["item"] * 90)},
    }.items():
        assert words in transformed(**parameters)


def test_what_is_put_in() -> None:
    variables = {"a b": 1, "list": [1, {"x": "y"}], "text": "{{list}}", "none": None}

    def filled(prompt: Any) -> Any:
        model = Model()
        result = run(step("a", "llm", prompt=prompt), model=model, context=variables)
        return model.prompts[0] if result.success else result.error

    assert filled("<{{ a b }}> {{list[1].x}} {{list}} {{none}}") == '<1> y [1,{"x":"y"}] null'
    assert filled("{{text}}") == "{{list}}"
    assert "no variable 'nope'; there are a b, list" in filled("{{nope}}")
    data = results(
        run(
            step("q", "tool", tool_name="json_query", arguments={"data": {"{{a b}}": "{{list}}"}, "path": "1[0]"}),
            context=variables,
        )
    )
    assert data["q"]["value"] == 1


def test_sizes_are_bounded() -> None:
    big = {"big": "x" * (1 << 20)}
    result = run(step("a", "llm", prompt="{{big}}" * 10), context=big)
    assert "come to more than 4194304 characters" in str(result.error)
    assert "more than 1048576 characters" in transformed(big, operation="extract", expression="big")
    doubled = transformed(operation="reduce", input=[0] * 100, expression="[acc, acc]")
    assert "more than 1000000 steps" in doubled
    assert "more than 1000000 steps" in transformed(
        {"big": "x" * 900_000}, operation="map", input=[0] * 1000, expression="big"
    )
    many = [step(f"s{n}", "data_transform", operation="extract", expression="big") for n in range(20)]
    result = run(*many, context={"big": "x" * 1_000_000})
    assert [one.success for one in result.step_results.values()].count(True) == 16


def test_placeholders_are_bounded() -> None:
    with pytest.raises(
        InvalidRequestError, match=r"workflow.steps\[0\].parameters: there are more than 10000 placehold"
    ):
        run(step("a", "llm", prompt="{{a}}" * 10_001), context={"a": 1})
    big = {"big": [{"x": 1}] * 60_000}
    result = run(
        step(
            "a",
            "tool",
            tool_name="json_query",
            arguments={"data": [f"{{{{big..x{n}}}}}" for n in range(9)], "path": "$"},
        ),
        context=big,
    )
    assert "more than 1000000 steps" in str(result.error)
    result = run(step("a", "data_transform", operation="map", input=[1] * 9, expression="{{big..x}}"), context=big)
    assert "more than 1000000 steps" in str(result.error)


def test_work_that_nobody_waits_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def fill_for_ever(self: Filling, value: Any) -> Any:
        try:
            while True:
                self._evaluation.spend(0)
        finally:
            ended.set()

    monkeypatch.setattr(Filling, "fill", fill_for_ever)
    result = run(step("a", "llm", prompt="x"), seconds=2)
    assert "2 seconds were over" in str(result.error)
    assert ended.wait(10)


def test_the_loop_goes_on_while_a_workflow_is_read() -> None:
    loops: list[bool] = []

    def plan(workflow: Workflow) -> Plan:
        with suppress(RuntimeError):
            loops.append(asyncio.get_running_loop() is not None)
        return plan_of(workflow)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shimmy.agent.workflow_run.plan_of", plan)
        run(step("a", "llm", prompt="x"))
    assert loops == []


def test_the_name_of_a_tool_is_a_text() -> None:
    result = run(step("a", "tool", tool_name="{{n}}"), context={"n": [1]})
    assert result.error == "step 'a' failed: tool_name came to a list, not to the name of a tool"


def test_the_time_is_bounded() -> None:
    model = Model()
    result = run(
        step("slow", "llm", prompt="hang"),
        step("after", "llm", "slow", prompt="x"),
        step("fast", "llm", prompt="y"),
        model=model,
        seconds=3,
    )
    late = "! not finished: the workflow's 3 seconds were over"
    assert results(result) == {"slow": late, "after": late, "fast": {"type": "llm_generation", "text": "Y"}}
    assert model.cancelled == 1


def test_cancelling_ends_the_steps() -> None:
    async def check() -> None:
        model = Model()
        tools = ToolRegistry(plugins=False)
        workflow = workflow_of(*(step(name, "llm", prompt="hang") for name in "abc"))
        running = asyncio.ensure_future(WorkflowRunner(tools, model).run(workflow, {}))
        await asyncio.wait_for(model.busy.wait(), 5)
        running.cancel()
        await asyncio.wait({running})
        assert (model.cancelled, model.at_once) == (3, 0)

    asyncio.run(check())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 11), max_size=4), min_size=1, max_size=12))
def test_any_graph_runs_in_order_or_is_a_circle(edges: list[list[int]]) -> None:
    steps = [
        step(str(number), "llm", *{str(other % len(edges)) for other in needs}, prompt=str(number))
        for number, needs in enumerate(edges)
    ]
    model = Model()
    try:
        result = run(*steps, model=model)
    except InvalidRequestError as error:
        assert "in a circle" in error.message
        return
    assert result.success
    order = {name: index for index, name in enumerate(model.prompts)}
    for name, needs in plan_of(workflow_of(*steps)).needs.items():
        assert all(order[other] < order[name] for other in needs)
