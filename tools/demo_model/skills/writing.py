"""Stories and poems."""

from __future__ import annotations

import re

from .. import lexicon as lex
from ..chat import Block, Msg
from ..phrases.writing import ANY_STORY_Q, BEINGS, HAIKU, HAIKU_Q, LONG_STORY_Q, POEM, POEM_Q, STORIES, STORY_Q, TREES
from .material import Material


class Writing(Material):
    """Small pieces of made-up prose and verse."""

    def story_text(
        self, animal: str, name: str | None = None, place: str | None = None, adj: str = "", other: int = 0
    ) -> str:
        i = (int(self.skewed("01234", animal)) + other) % 5
        t = str(i)
        friend = self.skewed(("mouse", "bird", "rabbit", "turtle", "frog"), t + "friend")
        return STORIES[i].format(
            animal=animal, name=name or self.skewed(("Milo", "Ruby", "Luna", "Finn", "Ivy"), t + "name"),
            place=place or self.skewed(lex.PLACES, t + "place"), tree=self.skewed(TREES, t + "tree"),
            obj=self.skewed(("key", "lamp", "ring", "blanket", "basket"), t + "obj"),
            food=self.skewed(("honey", "soup", "bread", "cake", "cheese"), t + "food"),
            adj=adj or self.skewed(("little", "brave", "kind", "shy", "clever"), t + "adj"),
            friend="fox" if friend == animal else friend,
        )  # fmt: skip

    def story(self) -> Block | None:
        rng = self.rng
        if self.chance(0.08):
            q, text = self.vary(rng.choice(ANY_STORY_Q)), self.story_text("fox")
            if not self.ok("story", q):
                return None
            return Block(
                "story", [Msg("user", q), Msg("assistant", text, (), "A fox story", "prose", "contains", ["The end."])]
            )
        animal = (
            rng.choice(lex.ANIMALS)
            if self.chance(0.6)
            else rng.choice(BEINGS + lex.OBJECTS + (self.word(), self.word()))
        )
        long = self.chance(0.08)
        adj = (
            rng.choice((*lex.ADJECTIVES, "little", "brave little", "kind old", "tiny little"))
            if self.chance(0.15)
            else ""
        )
        q = rng.choice(LONG_STORY_Q if long else STORY_Q).format(animal=f"{adj} {animal}".strip())
        name = rng.choice(lex.NAMES) if self.chance(0.4) else None
        place = rng.choice(lex.PLACES) if self.chance(0.3) else None
        end = q[-1] if q[-1] in ".?" else ""
        q = q.removesuffix(end) if end else q
        if name:
            q += rng.choice((" named ", " called ")) + name
        if place:
            q += f" in a {place}"
        q = self.vary(re.sub(r"\ba (?=[aeiou])", "an ", q + end), fold=False)
        if not self.ok("story", q):
            return None
        text = self.story_text(animal, name, place, adj)
        if long:
            text = text.replace("The end.", "But that is not all.") + " " + self.story_text(animal, name, place, adj, 1)
        need = [animal, "The end."] + ([name] if name else []) + ([place] if place else [])
        msg = Msg("assistant", text, (), f"A {animal} story", "prose", "contains", need)
        return Block("story", [Msg("user", q), msg])

    def poem(self) -> Block | None:
        rng = self.rng
        x = rng.choice(lex.ANIMALS + lex.OBJECTS + BEINGS)
        haiku = self.chance(0.4)
        what = rng.choice((f"the {x}", "an " + x if x[0] in "aeiou" else "a " + x, x))
        q = rng.choice(HAIKU_Q if haiku else POEM_Q).format(x=what)
        if self.chance(0.1):
            x = "flower"
            q = (
                rng.choice(("Write a haiku.", "Make a haiku"))
                if haiku
                else rng.choice(("Write a poem.", "Write a short poem", "A poem please"))
            )
        q = self.vary(q, fold=False)
        answer = (HAIKU if haiku else POEM).format(x=x)
        return self.say("poem", q, answer, f"A {x} poem") if self.ok("poem", q) else None
