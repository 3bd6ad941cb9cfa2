"""What the embedded model was trained to edit and to repeat, and what it answers in words of its own."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SHAPES = (
    "class {F}:\n    def __init__(self, {a}, {b}):\n        self.{a} = {a}\n        self.{b} = {b}\n\n"
    "    def {f}(self):\n        return self.{a} + self.{b}",
    "def {f}({a}):\n    {b} = []\n    for {c} in {a}:\n        if {c} > {n}:\n            {b}.append({c})\n"
    "    return {b}",
    "def {f}({a}, {b}):\n    {c} = {a} * {n}\n    {d} = {b} - {m}\n    return {c} + {d}",
    "def {f}({a}):\n    {b} = {n}\n    for {c} in {a}:\n        {b} += {c}\n    return {b}",
    "def {f}({a}, {b}={n}):\n    {c} = {a} % {b}\n    if {c} == 0:\n        return {b}\n    {d} = {a} - {c}\n"
    "    return {d}",
)
_NAMES = _words(
    "total count value item result price left right data size index limit score width height length start step rate "
    "amount speed"
)
_FUNCTIONS = _words("check collect select measure share build find merge")
_CLASSES = _words("Parcel Garden Boat Lamp Window River Table Forest")

_PEOPLE = _words("Alice Bob Clara Daniel Emma Frank Grace Henry Mia Noah Olivia Paul Rose Tom")
_COLORS = _words("red blue green yellow black white")
_THINGS = _words("lamp chair book cup key clock box bag")
_ANIMALS = _words("dog cat horse fox bird")
_PLACES = _words("park beach garden market library school")
_CITIES = _words("Paris London Berlin Madrid Rome")

_OTHER = (
    "Write a short story about a dog and a boat.",
    "Write a poem about the sea.",
    "What can you do?",
    "Who are you?",
    "List the days of the week.",
    "Explain quantization.",
    "What is the capital of Hungary?",
    "Spell lothel.",
    "List three animals.",
    "Write a Python function that finds the largest item of a list.",
    "76 + 675",
    "Which port does shimmy use?",
    "Tell me about the sea.",
    "Write a haiku about rain.",
    "How do I load a model?",
    "What is a token?",
    "Write a Python function that checks if a number is prime.",
    "List five colors.",
    "Why is the sky blue?",
    "Tell me a joke.",
)


@dataclass(frozen=True)
class Question:
    """What is asked, and the answer where there is just one."""

    text: str
    answer: str | None = None


class CopiedTexts:
    """The same `seed` gives the same texts. No text comes twice, so that no answer is known from an earlier one."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def edits(self, n: int) -> list[Question]:
        """A name to be changed in a few lines of code."""
        return [self._edit(_SHAPES[i % len(_SHAPES)]) for i in range(n)]

    def quotes(self, n: int) -> list[Question]:
        """Two lines of two sentences each to be repeated."""
        return [Question(f"Repeat the following text exactly:\n{text}", text) for text in map(self._passage, range(n))]

    def others(self, n: int) -> list[Question]:
        """At most as many as there are: 20."""
        return [Question(text) for text in self._random.sample(_OTHER, min(n, len(_OTHER)))]

    def _edit(self, shape: str) -> Question:
        pick = self._random.choice
        *names, new = self._random.sample(_NAMES, 5)
        numbers = {"n": self._random.randint(10, 99), "m": self._random.randint(10, 99)}
        slots = dict(zip("abcd", names, strict=True)) | {"f": pick(_FUNCTIONS), "F": pick(_CLASSES)}
        code = shape.format(**slots, **numbers)
        old = pick([slots[slot] for slot in "abcdf" if f"{{{slot}}}" in shape])
        edited = re.sub(rf"\b{old}\b", new, code)
        return Question(f"Rename {old} to {new} in this code:\n```python\n{code}\n```", f"```python\n{edited}\n```")

    def _passage(self, first: int) -> str:
        pick = self._random.choice
        sentences: tuple[Callable[[], str], ...] = (
            lambda: f"{pick(_PEOPLE)} has a {pick(_COLORS)} {pick(_THINGS)}.",
            lambda: f"The small {pick(_ANIMALS)} sees a {pick(_THINGS)}.",
            lambda: f"{pick(_PEOPLE)} lives in {pick(_CITIES)} with a {pick(_ANIMALS)}.",
            lambda: f"{pick(_PEOPLE)} and {pick(_PEOPLE)} went to the {pick(_PLACES)}.",
            lambda: f"Where is my {pick(_COLORS)} {pick(_THINGS)}?",
            lambda: f"The {pick(_THINGS)} costs {self._random.randint(10, 99)} dollars.",
        )
        chosen = [sentences[(first + i) % len(sentences)]() for i in range(4)]
        return f"{chosen[0]} {chosen[1]}\n{chosen[2]} {chosen[3]}"
