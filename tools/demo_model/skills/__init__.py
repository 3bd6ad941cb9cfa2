"""The skills of the demo model: each method composes one exchange (a block) from a seeded random generator."""

from __future__ import annotations

from .lists import Lists
from .memory import Memory
from .numbers import Numbers
from .python_code import PythonCode
from .reading import Reading
from .small_talk import SmallTalk
from .strings import Strings
from .structured import Structured
from .two_questions import TwoQuestions
from .writing import Writing


class Skills(SmallTalk, TwoQuestions, Numbers, Strings, Lists, Writing, PythonCode, Reading, Memory, Structured):
    """Every skill that needs no tools."""
