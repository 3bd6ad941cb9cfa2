"""Conversations in which tools are offered and called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..chat import Block, Call, Chat, dumps
from ..phrases.questions import NO_TOOL_A
from ..toolbox import COMMON, LIVE_KINDS, Tool, common_tool, compatible
from .results import Results


class ToolSkills(Results):
    """Adds the exchanges with tool calls."""

    def tool_block(self, tools: Sequence[Tool], key: str, n: int = 1) -> Block | None:
        """One request for one or more calls of the offered tools."""
        rng = self.rng
        if n == 1:
            chosen = [rng.choice(tools)]
        else:
            chosen = [rng.choice(tools)] * n if self.chance(0.6) or len(tools) < n else rng.sample(tools, n)
        parts = [(t, *self.request(t, noise=n == 1)) for t in chosen]
        if len({dumps([call.name, call.arguments]) for _, _, call, _ in parts}) < n:
            return None
        triples = [(t, call, subject) for t, _, call, subject in parts]
        tool = chosen[0]
        if n == 1:
            text = parts[0][1]
        elif all(t is tool for t in chosen) and tool.kind in (
            "weather",
            "time",
            "temperature",
            "read",
            "stock",
            "user",
        ):
            p = tool.params[0]
            triples = [
                (
                    tool,
                    Call(tool.name, {p.name: c.arguments[p.name]}),
                    tool.subject.format(**{p.role: c.arguments[p.name]}),
                )
                for _, c, _ in triples
            ]
            ask = rng.choice([a for a in tool.asks if "{unit}" not in a])
            values = [str(c.arguments[p.name]) for _, c, _ in triples]
            text = ask.format(
                **{p.role: " and in ".join(values) if p.role == "city" and self.chance(0.15) else self.join(values)}
            )
        else:
            glue = rng.choice((" And ", " Then ", " Also ", "\n", " "))
            texts = [x.rstrip(".") + ("" if x.endswith("?") else ".") for _, x, _, _ in parts]
            text = glue.join(x if i == 0 or glue in "\n " else x[0].lower() + x[1:] for i, x in enumerate(texts))
        if not self.ok("tool", text, key):
            return None
        return self.answered("tool_parallel" if n > 1 else "tool_common" if tool.kind else "tool_random", text, triples)

    def tool_chat(self, chat: Chat, blocks: int) -> list[Block]:
        """Blocks of a conversation in which tools are offered; fills ``chat.tools``."""
        rng = self.rng
        n = rng.choice((1, 1, 2, 2, 3, 3, 4, 5))
        shape = rng.randrange(12)
        tools: list[Tool] = []
        kinds: set[str] = set()
        for _ in range(n):
            tool = common_tool(rng.choice(COMMON), rng) if self.chance(0.5) else self.random_tool()
            if tool.name in [t.name for t in tools] or (tool.kind and not compatible(tool.kind, kinds)):
                continue
            if shape in (7, 8) and tool.action and tool.action.split(" ")[0] not in tool.name.lower():
                tool.action = ""  # the schema does not say what the tool does
            kinds |= {tool.kind} - {""}
            tools.append(tool)
        chat.tools = [t.schema(shape) for t in tools]
        key = dumps(chat.tools)
        verbs = {t.action.split(" ")[0] for t in tools if t.action} | {re.split("[_-]", t.name)[0] for t in tools}
        out: list[Block] = []
        for _ in range(blocks):
            r = rng.random()
            block: Block | None = None
            if r < 0.68:
                block = self.tool_block(tools, key, rng.choice((2, 2, 3)) if self.chance(0.14) else 1)
            elif r < 0.75:
                other = self.random_tool() if self.chance(0.4) else common_tool(rng.choice(COMMON), rng)
                clash = other.kind in ("math", "translate", "echo", "define", "random") or not compatible(
                    other.kind or "-", kinds
                )
                clash = (
                    clash or bool(kinds & LIVE_KINDS and other.kind in LIVE_KINDS) or bool(kinds & {"search", "shell"})
                )
                if not clash and not verbs & {re.split("[_-]", other.name)[0], other.action.split(" ")[0]}:
                    text, _, _ = self.request(other)
                    block = self.say("tool_none", text, NO_TOOL_A, "No tool") if self.ok("none", text) else None
            else:
                skills = [
                    self.identity,
                    self.capital,
                    self.fact,
                    self.story,
                    self.lists,
                    self.yes_no,
                    self.help,
                    self.reading,
                ]
                if "math" not in kinds:
                    skills.append(self.arithmetic)
                if "echo" not in kinds:
                    skills.append(self.copy)
                block = rng.choice(skills)()
                if block and kinds & {"translate", "define", "search", "date"} and block.skill == "facts":
                    block = None
            if block:
                out.append(block)
            if (
                block
                and block.skill == "tool_common"
                and len(tools) == 1
                and "city" in {p.role for p in tools[0].params[:1]}
                and self.chance(0.3)
            ):
                tool, city = tools[0], self.city()
                if sum(p.required for p in tool.params) == 1:
                    q = rng.choice(("And in {c}?", "What about {c}?", "And {c}?", "How about {c}?", "{c}?")).format(
                        c=city
                    )
                    out.append(
                        self.answered(
                            "tool_common",
                            q,
                            [(tool, Call(tool.name, {tool.params[0].name: city}), tool.subject.format(city=city))],
                        )
                    )
        return out
