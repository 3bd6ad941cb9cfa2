"""Made-up tools and values for the parameters of any tool."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

import re
from typing import Any

from .. import lexicon as lex
from ..skills import Skills
from ..skills.source import ALL_WORDS
from ..toolbox import (
    BOOL_PARAMS,
    COMMANDS,
    ENUM_PARAMS,
    FOREIGN,
    INT_PARAMS,
    INT_ROLES,
    LIST_PARAMS,
    MONEY,
    NATURAL,
    ROOMS,
    Param,
    Tool,
)


class Arguments(Skills):
    """Draws tools and argument values."""

    def random_tool(self) -> Tool:
        """A made-up tool: a verb, a noun and some parameters."""
        rng = self.rng
        pick = rng.choice
        verb, noun = pick(lex.VERBS), pick(lex.NOUNS)
        action = f"{verb} the {noun}"
        r = rng.random()
        if r < 0.6:
            name = f"{verb}_{noun}"
        elif r < 0.72:
            name = verb + noun.capitalize()
        elif r < 0.78:
            name = f"{noun}_{verb}"
        elif r < 0.82:
            name = f"{verb}-{noun}"
        elif r < 0.90:
            name = verb
        elif r < 0.96:
            name = self.pseudo(2, 3) + pick(("", "_tool", "_" + str(rng.randint(1, 9))))
        else:
            name = f"{self.pseudo(2, 2)}_{noun}"
        desc = pick((f"{action.capitalize()}.", f"{action.capitalize()}", f"Tool to {action}.", f"{verb.capitalize()} a {noun}.",
                     f"Use this to {action}."))  # fmt: skip
        natural = self.chance(0.4)
        params: list[Param] = []
        if natural:
            roles = rng.sample(sorted(NATURAL), pick((1, 1, 2, 2, 3)))
            for role in roles:
                names = NATURAL[role][0].split()
                kind = "integer" if role in INT_ROLES or role == "amount" else "string"
                p_name = pick(names)
                if p_name not in [p.name for p in params]:
                    params.append(
                        Param(
                            p_name,
                            kind,
                            pick((f"The {p_name.replace('_', ' ')}", f"The {p_name} of the {noun}")),
                            True,
                            None,
                            role,
                        )
                    )
        else:
            for p in rng.sample(lex.PARAM_NAMES, pick((0, 1, 1, 1, 2, 2, 2, 3, 4))):
                kind = "integer" if p in INT_PARAMS else "string"
                if self.chance(0.1):
                    kind = pick(("integer", "string", "number"))
                params.append(
                    Param(
                        p,
                        kind,
                        pick((f"The {p.replace('_', ' ')}", f"{p.capitalize()} of the {noun}", f"The {p} to use")),
                    )
                )
            if params and self.chance(0.3):
                options = tuple(rng.sample(lex.ADJECTIVES + lex.COLORS, rng.randint(2, 4)))
                extra = pick((Param(pick(BOOL_PARAMS), "boolean", "A flag"), Param(pick(LIST_PARAMS), "array", "A list of words"),
                              Param(pick(ENUM_PARAMS), "string", "One of the options", True, options)))  # fmt: skip
                if extra.name not in [p.name for p in params]:
                    params.append(extra)
        for param in params:
            param.required = self.chance(0.8)
        return Tool(name, desc, params, action=action, natural=natural)

    def value_for(self, p: Param) -> Any:
        """A value that suits the role or the name of a parameter."""
        rng = self.rng
        pick = rng.choice
        if p.enum:
            return pick(p.enum)
        match p.role:
            case "a" | "b":
                return rng.randint(0, 10 ** pick((1, 2, 2, 3)))
            case "minutes" | "percent" | "degrees" | "age":
                return rng.randint(1, 99)
            case "people" | "count":
                return rng.randint(1, 20)
            case "sides":
                return pick((4, 6, 6, 8, 10, 12, 20, 100, rng.randint(2, 100)))
            case "money" | "cash":
                return pick(MONEY)
            case "command":
                if self.chance(0.15) and not re.search(r"[\"',`]| and ", odd := self.symbols()):
                    return odd
                return pick(
                    (
                        pick(COMMANDS),
                        pick(COMMANDS),
                        f"cat {pick(lex.NOUNS)}.txt",
                        f"mkdir {pick(lex.NOUNS)}",
                        f"cd {pick(lex.NOUNS)}",
                    )
                )
            case "order":
                return pick((str(rng.randint(10, 99999)), f"{pick('ABCDEFX')}-{rng.randint(100, 9999)}", self.code()))
            case "topic" | "food" | "word":
                return pick(
                    lex.FOODS
                    if p.role == "food"
                    else (pick(lex.NOUNS), pick(lex.ANIMALS), pick(lex.CITIES))
                    if p.role == "topic"
                    else ALL_WORDS
                )
        if p.type == "integer":
            return rng.randint(0, 10 ** pick((1, 2, 2, 3, 4)))
        if p.type == "number":
            return pick((rng.randint(0, 500), rng.randint(0, 100), round(rng.uniform(0, 99), pick((1, 2)))))
        if p.type == "boolean":
            return self.chance(0.5)
        if p.type == "array":
            return [pick(ALL_WORDS) for _ in range(rng.randint(2, 4))]
        match p.role or p.name:
            case "city" | "location" | "place" | "timezone" | "address" | "origin" | "dest":
                return self.city()
            case "country":
                return pick(lex.CAPITALS)[0]
            case "expression":
                a, b = rng.randint(0, 999), rng.randint(0, 99)
                return pick(
                    (
                        f"{a} + {b}",
                        f"{a} * {b}",
                        f"{a} - {b}",
                        f"{a} / {b}",
                        f"{a}+{b}",
                        f"{a}*{b}",
                        f"({a} + {b}) * {b}",
                    )
                )
            case "color":
                return pick(lex.COLORS)
            case "email":
                return (
                    f"{pick((pick(lex.NAMES).lower(), self.pseudo()))}@{pick(('example.com', 'mail.com', 'test.org'))}"
                )
            case "date" | "from_date" | "to_date":
                return (
                    self.date()
                    if self.chance(0.7)
                    else pick((*lex.DAYS, "tomorrow", "today", f"{pick(lex.MONTHS)} {rng.randint(1, 28)}"))
                )
            case "time":
                return pick(
                    (
                        f"{rng.randint(0, 23):02d}:{pick(('00', '15', '30', '45'))}",
                        f"{rng.randint(1, 12)} {pick(('am', 'pm'))}",
                    )
                )
            case "path" | "filename" | "folder" | "dir":
                stem = pick(
                    (pick(lex.NOUNS), pick(lex.OBJECTS), self.pseudo(), "README", "main", "notes", "index", "test")
                )
                if p.role == "dir" or p.name == "folder":
                    return pick(
                        (stem, f"/{stem}", f"{stem}/{pick(lex.NOUNS)}", f"/home/{stem}", "/tmp", "src", f"src/{stem}")
                    )
                ext = pick(("txt", "py", "md", "json", "csv", "log", "html"))
                return pick(
                    (
                        f"{stem}.{ext}",
                        f"{stem}.{ext}",
                        f"/tmp/{stem}.{ext}",
                        f"{pick(lex.NOUNS)}/{stem}.{ext}",
                        f"src/{stem}.{ext}",
                    )
                )
            case "url":
                path = pick(
                    ("", "/", f"/{pick(lex.NOUNS)}", f"/{pick(lex.NOUNS)}?{pick(lex.PARAM_NAMES)}={rng.randint(0, 99)}")
                )
                return f"https://{pick((self.pseudo(), 'example', pick(lex.NOUNS)))}.com{path}"
            case "language" | "lang":
                return pick(FOREIGN)
            case "name" | "author" | "username" | "owner" | "person":
                return pick(lex.NAMES) if self.chance(0.8) else self.pseudo(2, 3).capitalize()
            case "currency":
                return pick(MONEY)
            case "phone":
                return f"{rng.randint(100, 999)}-{rng.randint(1000, 9999)}"
            case "room":
                return pick(ROOMS)
            case "symbol":
                return pick(
                    (
                        "AAPL",
                        "GOOG",
                        "MSFT",
                        "TSLA",
                        "AMZN",
                        "NVDA",
                        "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4)),
                    )
                )
            case "query" | "text" | "message" | "comment" | "reason":
                if self.chance(0.12) and not re.search(r"[\"',]| and ", odd := self.symbols()):
                    return odd
                return pick((self.phrase(2, 5), self.phrase(1, 3), self.sentence().rstrip(".!?"), self.pseudo(2, 3)))
            case "title" | "subject":
                return pick((self.phrase(1, 3), self.phrase(2, 3), pick(lex.NOUNS).capitalize()))
        return pick((self.word(), self.word(), self.code(), self.phrase(2, 3), pick(lex.NAMES)))
