"""Writing and editing Python code."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

import re

from .. import lexicon as lex
from ..chat import Block
from ..phrases.code_samples import IDENTIFIERS, PY_FUNCTIONS
from .material import Material


class PythonCode(Material):
    """Known functions on request, and renames in given code."""

    def python(self) -> Block | None:
        rng = self.rng
        if self.chance(0.15):
            text = (
                self.phrase(1, 4)
                if self.chance(0.7)
                else rng.choice(("Hello, world!", "hello world", "Hello world", "Hello"))
            )
            q = rng.choice(('Write Python code that prints "{x}".', "Print {x} in Python.", 'Write a Python program that prints "{x}"',
                            "How do I print {x} in Python?", "Write {x} in Python.")).format(x=text)  # fmt: skip
            if not self.ok("python", text):
                return None
            return self.say("python", q, f'```python\nprint("{text}")\n```', "Use print", "code")
        name, code, whats = rng.choice(PY_FUNCTIONS)
        what = rng.choice(whats)
        to_do = re.sub(r"^(\w+)s\b", r"\1", what)
        r = rng.random()
        if r < 0.1:
            head = code.format(f=name).split("\n")[0]
            q = rng.choice(
                ("Complete this function:\n{h}", "Complete this code:\n{h}", "Finish this Python function: {h}", "{h}")
            ).format(h=head)
            return (
                self.say("python", q, f"```python\n{code.format(f=name)}\n```", f"def {name}", "code")
                if self.ok("python", q)
                else None
            )
        if r < 0.25:
            q = rng.choice(("Write a Python function to {t}.", "Python function to {t}", "Write Python code to {t}.", "How do I {t} in Python?",
                            "Write a function to {t} in Python.")).format(t=to_do)  # fmt: skip
        elif r < 0.4:
            name = rng.choice(
                (self.pseudo(), f"{rng.choice(lex.VERBS)}_{rng.choice(lex.NOUNS)}", rng.choice(lex.VERBS))
            )
            q = rng.choice(("Write a Python function called {f} that {w}.", "Write a function {f} in Python that {w}."))
        elif r < 0.55:
            q = rng.choice(
                ("Write a function {f} in Python.", "Write the Python function {f}.", "Show me a Python function {f}.")
            )
        else:
            q = rng.choice(("Write a Python function that {w}.", "Write a function in Python that {w}.", "Python function that {w}",
                            "Give me a Python function that {w}.", "Show me Python code that {w}."))  # fmt: skip
        q = self.vary(q.format(f=name, w=what), fold=False)
        if not self.ok("python", q):
            return None
        return self.say("python", q, f"```python\n{code.format(f=name)}\n```", f"def {name}", "code")

    def code_edit(self) -> Block | None:
        """Rename a name or change a number in given code; the answer repeats the code with the edit."""
        rng = self.rng
        code, names = self.snippet()
        used = [names[k] for k in "abcdf" if re.search(rf"\b{names[k]}\b", code)]
        old = rng.choice(used)
        what = "function" if old == names["f"] else "variable"
        if self.chance(0.2) and re.search(rf"\b{names['n']}\b", code):
            old, what = names["n"], "number"
            new = str(rng.randint(100, 999))
            q = rng.choice(("Change {o} to {n} in this code:", "Replace {o} with {n} in this code:"))
        else:
            new = rng.choice((rng.choice(IDENTIFIERS), self.pseudo(2, 3), rng.choice(lex.NOUNS)))
            q = rng.choice(("Rename {w} {o} to {n} in this code:", "Rename the {w} {o} to {n}:", "In this code, rename {o} to {n}.",
                            "Please rename {o} to {n} in the following code:", "Rename {o} to {n}."))  # fmt: skip
        if new in names.values() or re.search(rf"\b{new}\b", code) or not self.ok("edit", code, old, new):
            return None
        question = q.format(w=what, o=old, n=new) + f"\n```python\n{code}\n```"
        out = re.sub(rf"\b{re.escape(old)}\b", new, code)
        return self.say("code_edit", question, f"```python\n{out}\n```", None, "code")
