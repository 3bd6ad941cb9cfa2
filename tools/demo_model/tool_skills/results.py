"""What a tool returns and how the assistant words it."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import lexicon as lex
from ..chat import Block, Call, Msg, dumps
from ..toolbox import NUMBER_KINDS, Tool
from .requests import Requests


def worded(obj: Any) -> str:
    """How a tool result is put into words."""
    if isinstance(obj, str):
        return obj
    if isinstance(obj, list):
        return ", ".join(map(str, obj)) + "."
    if isinstance(obj, dict):
        values = [v if isinstance(v, str) else dumps(v) for v in obj.values()]
        if len(values) == 1:
            return values[0]
        return ", ".join(f"{k.replace('_', ' ')} is {v}" for k, v in zip(obj, values, strict=True)) + "."
    return dumps(obj)


class Results(Requests):
    """Tool results and the answers made from them."""

    def result(self, tool: Tool) -> tuple[str, str]:
        """The text that a tool returns, and how the assistant words it (after a NUL when it is an error)."""
        rng = self.rng
        pick = rng.choice
        r = rng.random()
        obj: Any
        if r < 0.06:
            msg = pick(
                (
                    "not found",
                    "permission denied",
                    "timeout",
                    "invalid input",
                    f"unknown {pick(lex.NOUNS)}",
                    self.phrase(2, 3),
                )
            )
            return dumps({"error": msg}), "\0" + msg
        known = self.chance(0.8)
        if tool.kind == "weather" and known:
            cond = pick(("sunny", "rainy", "cloudy", "windy", "snowy", "foggy", "clear", "stormy", "partly cloudy"))
            temp = rng.randint(-15, 42)
            obj = pick((
                {"temperature": temp, "condition": cond}, {"temperature": temp, "conditions": cond}, {"temp": temp, "description": cond},
                {"condition": cond, "temperature": temp, "unit": "celsius"}, {"temperature": temp}, {"weather": cond, "humidity": rng.randint(10, 99)},
                f"{cond.capitalize()}, {temp}C", f"{temp} degrees and {cond}", cond, f"{cond}, {temp} degrees", f"{temp}°C, {cond}",
                f"{cond.capitalize()} and {temp} degrees", f"{temp}", f"It is {cond}, {temp} degrees.", {"city": pick(lex.CITIES), "temp_c": temp},
            ))  # fmt: skip
        elif tool.kind == "time" and known:
            t = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
            obj = pick((t, {"time": t}, {"time": t, "date": self.date()}))
        elif tool.kind == "date" and known:
            obj = pick(
                (
                    self.date(),
                    pick(lex.DAYS),
                    f"{pick(lex.DAYS)}, {pick(lex.MONTHS)} {rng.randint(1, 28)}",
                    {"date": self.date()},
                )
            )
        elif tool.kind == "list" and known:
            files = [f"{pick(lex.NOUNS)}.{pick(('txt', 'py', 'md', 'csv'))}" for _ in range(rng.randint(1, 4))]
            obj = pick((files, "\n".join(files), ", ".join(files)))
        elif tool.kind in NUMBER_KINDS and known:
            n: Any = pick((rng.randint(0, 2000), rng.randint(0, 100), round(rng.uniform(1, 500), 2)))
            obj = pick((n, n, {"result": n}, {"value": n}))
        elif r < 0.40:
            obj = {
                k: self.json_value()
                for k in rng.sample((*lex.PARAM_NAMES, "status", "ok", "result", "message"), rng.randint(1, 4))
            }
        elif r < 0.47:
            obj = [self.word() for _ in range(rng.randint(1, 4))]
        elif r < 0.58:
            obj = rng.randint(0, 9999)
        elif r < 0.64:
            obj = " ".join(self.sentence() for _ in range(rng.randint(1, 3)))
        else:
            obj = pick((self.word(), self.phrase(2, 4), self.sentence(), self.code(), "ok", "done", "success", "sent"))
        return obj if isinstance(obj, str) else dumps(obj), worded(obj)

    def answered(self, skill: str, text: str, parts: Sequence[tuple[Tool, Call, str]]) -> Block:
        """The whole exchange: request, call(s), result(s), final answer."""
        calls = tuple(call for _, call, _ in parts)
        msgs = [
            Msg("user", text),
            Msg("assistant", "", calls, None, "calls", "calls", [[c.name, c.arguments] for c in calls]),
        ]
        lines, short = [], ""
        for tool, _, subject in parts:
            content, words = self.result(tool)
            msgs.append(Msg("tool", content))
            lines.append(f"The tool failed: {words[1:]}" if words[0] == "\0" else f"{subject}: {words}")
            short = short or words.lstrip("\0").split(" is ")[-1].split(",")[0].rstrip(".")
        final = "\n".join(lines)
        msgs.append(
            Msg("assistant", final, (), short if len(short.split()) <= 3 else "Done", "verbatim", "exact", final)
        )
        return Block(skill, msgs)
