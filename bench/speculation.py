"""What does a step of k tokens cost, what do drafts by lookup make of that, and what does looking cost?

    python bench/speculation.py [MODEL] --edits 30 --quotes 15 --others 20 --threads 2

T(k): steps of k tokens with logits for each, behind `--depth` others, fastest and median of rounds. Replay: texts that
nothing was tuned on. "all found": every draft is taken, stepped by hand, so that the size of each step is known; the
speed against none, by the clock and by T(k), which has no noise. "what pays": an engine that has probed its steps, as
in a server, in `--sets` of texts; each text is answered without drafts and with them, one after the other. Steps of one
token, with lookup and without: the difference is what looking costs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shimmy import _core, demo_model_path
from workloads.copied_texts import CopiedTexts, Question

SIZES = (1, 2, 3, 4, 6, 8, 9, 12, 17, 24, 32)
SEED = "held out"
"""Not among those with which the drafting policy was tuned."""
TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def step_costs(model: _core.Model, n_threads: int, depth: int, rounds: int) -> dict[int, list[float]]:
    """Seconds of steps of each size, in rounds over all sizes; the first round is left out."""
    params = _core.ContextParams(n_ctx=depth + 64, n_threads=n_threads, n_threads_batch=n_threads)
    context = _core.Context(model, params)
    tokens = [100 + pos * 3 % 800 for pos in range(depth + max(SIZES))]

    def decode(begin: int, end: int, outputs: int) -> float:
        batch = _core.Batch()
        for pos in range(begin, end):
            batch.add(tokens[pos], pos, [0], pos >= end - outputs)
        started = time.perf_counter()
        if context.decode(batch) != _core.DecodeStatus.OK:
            raise SystemExit(f"a step of {end - begin} tokens failed")
        return time.perf_counter() - started

    for begin in range(0, depth, 512):
        decode(begin, min(begin + 512, depth), 1)
    costs: dict[int, list[float]] = {size: [] for size in SIZES}
    for number in range(rounds + 1):
        for size in SIZES:
            for repeat in range(4):  # the first one after another size pays for a new graph
                seconds = decode(depth, depth + size, size)
                context.kv_cache.seq_rm(0, depth, -1)
                if number and repeat:
                    costs[size].append(seconds)
    return costs


def interpolated(costs: dict[int, float], size: int) -> float:
    """Seconds of a step of any size, between those that were measured and beyond by the last slope."""
    known = sorted(costs)
    upper = next((one for one in known if one >= size), known[-1])
    lower = known[max(known.index(upper) - 1, 0)]
    if upper == lower:
        return costs[upper]
    return costs[lower] + (costs[upper] - costs[lower]) * (size - lower) / (upper - lower)


@dataclass
class Steps:
    """Steps of answers after their prompts: how many tokens each computed, in how many seconds."""

    sizes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens: int = 0
    answers: list[list[int]] = field(default_factory=list)

    @property
    def drafted(self) -> int:
        return sum(self.sizes) - len(self.sizes)

    @property
    def accepted(self) -> int:
        return self.tokens - len(self.sizes)

    def modelled(self, costs: dict[int, float]) -> float:
        """Seconds by a table of T(k)."""
        return sum(interpolated(costs, size) for size in self.sizes)


def open_engine(model: _core.Model, n_threads: int, **params: Any) -> _core.Engine:
    context = _core.ContextParams(n_ctx=2048, n_threads=n_threads, n_threads_batch=n_threads)
    return _core.Engine(model, context, _core.EngineParams(max_num_seqs=1, adaptive_threads=False, **params))


def answer(engine: _core.Engine, prompt: list[int], steps: Steps, max_tokens: int) -> list[int]:
    """A greedy answer. Its steps are added to `steps`, but for the first one, which computes the prompt."""
    engine.add_request(prompt, _core.SamplingParams(temperature=0.0), max_tokens=max_tokens)
    busy, first = True, True
    while busy:
        computed, started = engine.stats.computed_tokens, time.perf_counter()
        busy = engine.step()
        seconds, size = time.perf_counter() - started, engine.stats.computed_tokens - computed
        if size and not first:
            steps.sizes.append(size)
            steps.seconds.append(seconds)
        first = first and not size
    tokens: list[int] = []
    ended = False
    while not ended:  # another thread hands them over
        for output in engine.wait(0.1):
            tokens += output.tokens
            ended = ended or output.finish_reason != _core.FinishReason.NONE
            steps.tokens += output.finish_reason == _core.FinishReason.STOP  # the end token was computed too
    steps.tokens += len(tokens) - 1
    return tokens


ENGINES: dict[str, dict[str, Any]] = {"none": {"max_draft": 0}, "all found": {"adaptive_draft": False}}


@dataclass
class Answers:
    """Of a started engine, which has probed what steps cost and drafts what pays: sums over answers."""

    texts: list[list[int]] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    drafted: int = 0
    accepted: int = 0

    def ask(self, engine: _core.Engine, prompt: list[int], max_tokens: int, *, speculation: bool) -> None:
        greedy = _core.SamplingParams(temperature=0.0)
        engine.add_request(prompt, greedy, max_tokens=max_tokens, speculation=speculation, tenant=str(speculation))
        tokens: list[int] = []
        while True:
            for output in engine.wait(0.1):
                tokens += output.tokens
                if output.finish_reason != _core.FinishReason.NONE:
                    self.texts.append(tokens)
                    self.tokens += output.usage.completion_tokens - 1
                    self.seconds += output.usage.decode_seconds
                    self.drafted += output.usage.drafted_tokens
                    self.accepted += output.usage.accepted_tokens
                    return


def ask_started(
    model: _core.Model, tokenizer: _core.Tokenizer, questions: list[Question], n_threads: int, max_tokens: int
) -> tuple[Answers, Answers]:
    """Without drafts and with those that pay, in turn; as tenants that see nothing of each other's answers."""
    engine = open_engine(model, n_threads)
    engine.start()
    for question in CopiedTexts("warm-up").edits(8):
        Answers().ask(engine, tokenizer.encode(TURN.format(question.text)), max_tokens, speculation=True)
    plain, drafted = Answers(), Answers()
    for question in questions:
        prompt = tokenizer.encode(TURN.format(question.text))
        plain.ask(engine, prompt, max_tokens, speculation=False)
        drafted.ask(engine, prompt, max_tokens, speculation=True)
    engine.shutdown()
    return plain, drafted


def replay(
    model: _core.Model, tokenizer: _core.Tokenizer, questions: list[Question], n_threads: int, max_tokens: int
) -> dict[str, Steps]:
    """The steps of each of ENGINES, one after the other: threads of a second engine would wait on the same cores."""
    steps = {name: Steps() for name in ENGINES}
    for name, params in ENGINES.items():
        engine = open_engine(model, n_threads, **params)
        for question in CopiedTexts("warm-up").edits(8):
            answer(engine, tokenizer.encode(TURN.format(question.text)), Steps(), max_tokens)
        for question in questions:
            prompt = tokenizer.encode(TURN.format(question.text))
            steps[name].answers.append(answer(engine, prompt, steps[name], max_tokens))
        engine.shutdown()
    return steps


def print_costs(every: dict[int, list[float]]) -> dict[int, float]:
    """The table of T(k); returns the fastest of each size."""
    fastest = {size: min(costs) for size, costs in every.items()}
    rows = {
        "k": [str(size) for size in SIZES],
        "T(k), ms, fastest": [f"{1000 * fastest[size]:.2f}" for size in SIZES],
        "median": [f"{1000 * statistics.median(every[size]):.2f}" for size in SIZES],
        "T(k) / T(1), fastest": [f"{fastest[size] / fastest[1]:.2f}" for size in SIZES],
    }
    for number, (name, values) in enumerate(rows.items()):
        print(f"| {name} | {' | '.join(values)} |")
        if number == 0:
            print("|---" * (len(SIZES) + 1) + "|")
    best = max(SIZES, key=lambda size: size / fastest[size])
    print(f"\nWere every draft right: {best * fastest[1] / fastest[best]:.2f} times as fast, with steps of {best}.\n")
    return fastest


def print_replay(kind: str, steps: dict[str, Steps], fastest: dict[int, float]) -> None:
    none, every = steps["none"], steps["all found"]
    clock = (every.tokens / sum(every.seconds)) / (none.tokens / sum(none.seconds))
    modelled = (every.tokens / every.modelled(fastest)) / (none.tokens / none.modelled(fastest))
    n_other = sum(a != b for a, b in zip(every.answers, none.answers, strict=True))
    print(
        f"| {kind} | all found | {every.drafted} | {every.accepted} | {clock:.2f} | {modelled:.2f} | "
        f"{n_other} of {len(every.answers)} |"
    )


def print_started(kind: str, sets: list[tuple[Answers, Answers]]) -> None:
    speeds = [(drafted.tokens / drafted.seconds) / (plain.tokens / plain.seconds) for plain, drafted in sets]
    n_other = sum(a != b for plain, drafted in sets for a, b in zip(plain.texts, drafted.texts, strict=True))
    print(
        f"| {kind} | what pays | {sum(drafted.drafted for _, drafted in sets)} | "
        f"{sum(drafted.accepted for _, drafted in sets)} | "
        f"{statistics.median(speeds):.2f} ({min(speeds):.2f} to {max(speeds):.2f}) | | "
        f"{n_other} of {sum(len(drafted.texts) for _, drafted in sets)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=demo_model_path(), help="a GGUF file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--depth", type=int, default=200, help="tokens before the steps of T(k)")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--max-tokens", type=int, default=192)
    parser.add_argument("--edits", type=int, default=30)
    parser.add_argument("--quotes", type=int, default=15)
    parser.add_argument("--others", type=int, default=20)
    parser.add_argument("--sets", type=int, default=8, help="of texts, for what pays")
    args = parser.parse_args()

    model = _core.Model(args.model)
    tokenizer = _core.Tokenizer(model)
    fastest = print_costs(step_costs(model, args.threads, args.depth, args.rounds))

    def texts(seed: str) -> dict[str, list[Question]]:
        copied = CopiedTexts(seed)
        return {
            "code edit": copied.edits(args.edits),
            "quote": copied.quotes(args.quotes),
            "other text": copied.others(args.others),
        }

    columns = ("text", "drafts", "drafted", "accepted", "speed", "by T(k)", "answers that differ")
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    single: dict[str, list[float]] = {name: [] for name in ENGINES}
    sets = [texts(f"{SEED} {number}") for number in range(args.sets)]
    for kind, questions in texts(SEED).items():
        steps = replay(model, tokenizer, questions, args.threads, args.max_tokens)
        print_replay(kind, steps, fastest)
        asked = [ask_started(model, tokenizer, one[kind], args.threads, args.max_tokens) for one in sets]
        print_started(kind, asked)
        for name, one in steps.items():
            pairs = zip(one.sizes, one.seconds, strict=True)
            single[name] += [seconds for size, seconds in pairs if size == 1]
    print("\nSteps of one token, median µs:")
    for name, seconds in single.items():
        print(f"- {name}: {1e6 * statistics.median(seconds):.0f} over {len(seconds)}")


if __name__ == "__main__":
    main()
