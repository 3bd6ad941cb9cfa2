"""How a user asks for a tool."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from typing import Any

from ..chat import Call, dumps
from ..toolbox import MONEY, NATURAL, Tool
from .arguments import Arguments


class Requests(Arguments):
    """Words a request for one tool call."""

    def request(self, tool: Tool, noise: bool = True) -> tuple[str, Call, str]:
        """What the user says, the call it needs, and the beginning of the final answer."""
        rng = self.rng
        pick = rng.choice

        def shown(v: Any) -> str:
            if isinstance(v, list):
                return self.join(v) if self.chance(0.8) else dumps(v)
            if isinstance(v, str):
                return f'"{v}"' if self.chance(0.25) else v
            return dumps(v)

        if tool.asks and self.chance(0.9):
            ask = pick(tool.asks)
            args = {p.name: self.value_for(p) for p in tool.params if f"{{{p.role}}}" in ask}
            if tool.kind == "currency" and len(args) == 3:
                names = [p.name for p in tool.params]
                args |= dict(zip(names[1:], rng.sample(MONEY, 2), strict=True))
            said = {p.role: args[p.name] for p in tool.params if p.name in args}
            if tool.kind == "random":
                low, high = sorted(args.values())
                args = dict(zip(args, (low, high), strict=True))
                said = {"a": low, "b": high}
            if "on" in said:
                said["on"] = "on" if said["on"] else "off"
            text = self.vary(ask.format(**said), fold=False) if noise else ask.format(**said)
            return (
                text,
                Call(tool.name, args),
                tool.subject.format_map({p.role: said.get(p.role, "") for p in tool.params}),
            )
        used = [p for p in tool.params if p.required or self.chance(0.6)]
        args = {p.name: self.value_for(p) for p in used}
        subject = tool.subject.format_map({p.role: args.get(p.name, "") for p in tool.params})
        if subject.endswith(" "):
            subject = "The result"
        if tool.natural and tool.action and self.chance(0.75):
            parts = [pick(NATURAL[p.role][1]).format(v=args[p.name]) for p in used]
            if self.chance(0.3):
                rng.shuffle(parts)
            return " ".join([self.opening(tool), *parts]) + pick((".", "", "")), Call(tool.name, args), subject
        pairs = [(p.name, p.name.replace("_", " "), shown(args[p.name])) for p in used]
        if self.chance(0.2):
            rng.shuffle(pairs)
        if self.chance(0.25) or not tool.action:
            head = pick(
                (
                    "Call {n}",
                    "Use {n}",
                    "Call the tool {n}",
                    "Use the {n} tool",
                    "Run {n}",
                    "Please call {n}",
                    "Invoke {n}",
                )
            ).format(n=tool.name)
            if pairs:
                head += pick((" with ", ": ", " with ")) + self.join(
                    [f"{n}{pick(('=', '=', ' set to ', ' '))}{v}" for n, _, v in pairs]
                )
            return head + pick((".", "", "")), Call(tool.name, args), subject
        head = self.opening(tool)
        if not pairs:
            text = head + pick((".", "", "!"))
        elif len(tool.params) == 1 and self.chance(0.4):
            text = f"{head} {pick(('for', 'with', 'in', 'called'))} {pairs[0][2]}" + pick((".", ""))
        else:
            joint = pick((" with ", ", ", " with ", ". Use "))
            mid = pick((" ", " ", ": ", " set to ", "="))
            text = head + joint + self.join([f"{label}{mid}{v}" for _, label, v in pairs]) + pick((".", ""))
        return text, Call(tool.name, args), subject

    def opening(self, tool: Tool) -> str:
        """The beginning of a request for a made-up tool."""
        verb, noun = tool.action.split(" the ")
        head = self.rng.choice((f"{verb} the {noun}", f"{verb} the {noun}", f"{verb} a {noun}", f"please {verb} the {noun}",
                                f"I want to {verb} the {noun}", f"can you {verb} the {noun}", f"I need to {verb} a {noun}"))  # fmt: skip
        return head[0].upper() + head[1:]
