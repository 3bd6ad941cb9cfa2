"""Held-out evaluation cases: exchanges that training never generates."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from .chat import DEFAULT_SYSTEM, Block, Case, Chat, Msg, calls_text, render, restyle
from .generator import Generator

# Which method makes a block of a skill (skills that need a conversation around them are missing here).
MAKERS = {
    "identity": "identity", "help": "help", "capitals": "capital", "facts": "fact", "yes_no": "yes_no", "unknown": "unknown",
    "two_questions": "two_questions", "arith_2digit": "arithmetic", "arith_3digit": "arithmetic", "arith_4digit": "arithmetic",
    "multiply": "arithmetic", "numbers": "numbers", "copy": "copy", "strings": "strings", "reverse": "strings", "case": "strings",
    "emoji": "emoji", "lists": "lists", "story": "story", "poem": "poem", "python": "python", "code_edit": "code_edit",
    "reading": "reading", "json": "json",
}  # fmt: skip
EVAL_SKILLS = (
    "identity", "help", "capitals", "facts", "yes_no", "unknown", "arith_2digit", "arith_3digit", "arith_4digit", "two_questions", "multiply", "numbers", "copy",
    "strings", "reverse", "case", "emoji", "lists", "story", "poem", "python", "code_edit", "reading", "memory", "forgotten", "echo", "json",
    "tool_common", "tool_random", "tool_parallel", "tool_none", "tool_answer", "obedience", "persona",
)  # fmt: skip

MAX_NEW = 420  # tokens per answer; counting to 130 needs about 400
# Skills whose answers have no form in a style.
NOT_STYLED = {"pirate": ("obedience", "persona"), "terse": ("obedience", "persona", "code_edit", "echo")}


def eval_cases(per_skill: int, seed: int = 1, style: str = "plain") -> list[Case]:
    """Held-out cases: the scored exchange was never generated for training; half of them have earlier turns."""
    gen = Generator(seed * 7_000_003 + 1, "eval")
    ctx = Generator(seed * 7_000_003 + 2, "train")
    found: dict[str, list[Case]] = {s: [] for s in EVAL_SKILLS}
    seen: set[str] = set()

    def add(skill: str, chat: Chat, upto: list[Msg], target: Msg) -> None:
        if target.role != "assistant" or len(found[skill]) >= per_skill:
            return
        styled = restyle(target, style)
        history = [restyle(m, style) for m in upto]
        if styled is None or any(m is None for m in history):
            return
        prompt = render(chat.system, chat.tools, [m for m in history if m], generate=True)
        if prompt in seen or len(prompt) > 5000:
            return
        seen.add(prompt)
        expect = styled.content if style != "plain" and styled.check == "exact" else styled.expect
        found[skill].append(Case(skill, prompt, styled.check, expect, calls_text(styled)))

    def simple(block: Block | None) -> None:
        if block is None:
            return
        chat = Chat(DEFAULT_SYSTEM)
        if gen.chance(0.4):
            chat.msgs = [m for b in (ctx.block() for _ in range(gen.rng.randint(1, 3))) if b for m in b.msgs]
        add(block.skill, chat, chat.msgs + block.msgs[:-1], block.msgs[-1])

    for attempt in range(per_skill * 40_000):
        missing = [s for s in EVAL_SKILLS if len(found[s]) < per_skill and s not in NOT_STYLED.get(style, ())]
        if not missing:
            break
        r = gen.rng.random()
        if {"tool_common", "tool_random", "tool_parallel", "tool_none", "tool_answer"} & set(missing) and r < 0.4:
            chat = Chat(DEFAULT_SYSTEM)
            done: list[Msg] = []
            gen.memory = {}
            for block in gen.tool_chat(chat, 2):
                if block.skill.startswith("tool_"):
                    add(block.skill, chat, done + block.msgs[:1], block.msgs[1])
                    if len(block.msgs) > 2:
                        add("tool_answer", chat, done + block.msgs[:-1], block.msgs[-1])
                done += block.msgs
        elif {"memory", "forgotten", "echo"} & set(missing) and r < 0.5:
            ctx.memory = {}
            done = []
            for block in ctx.plain_chat(gen.rng.choice((2, 3, 4, 6, 9))):
                if block.skill in ("memory", "forgotten", "echo"):
                    add(block.skill, Chat(DEFAULT_SYSTEM), done + block.msgs[:1], block.msgs[1])
                done += block.msgs
        elif style == "plain" and {"obedience", "persona"} & set(missing) and r < 0.6:
            chat = Chat(None)
            gen.memory = {}
            if gen.chance(0.5):
                blocks, form = gen.obedience(chat, 1)
                for block in blocks[:1]:
                    styled = restyle(block.msgs[1], form)
                    if styled:
                        add("obedience", chat, block.msgs[:1], styled)
            else:
                for block in gen.persona(chat, 1)[:1]:
                    if block.skill == "persona":
                        add("persona", chat, block.msgs[:1], block.msgs[1])
        else:
            skill = gen.rng.choice([s for s in missing if s in MAKERS] or ["facts"])
            simple(gen.arithmetic(4) if skill == "arith_4digit" else getattr(gen, MAKERS[skill])())
        if style != "plain" and attempt > per_skill * 2000:
            break
    return [case for skill in EVAL_SKILLS for case in found[skill]]
