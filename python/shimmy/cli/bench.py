"""shimmy bench: how fast a model is on this machine."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from shimmy.cli.options import Options
from shimmy.errors import EngineDeadError, InvalidRequestError

if TYPE_CHECKING:
    from shimmy import LLM
    from shimmy.output import Usage

_TEXT = "The quick brown fox jumps over the lazy dog while seven wizards count 1234567890 bright stars above. "


class Run(msgspec.Struct, frozen=True):
    """One generation. Rates are in tokens per second."""

    prefill_rate: float
    decode_rate: float
    ttft_seconds: float
    """From the call to the first token."""


class Report(msgspec.Struct, frozen=True):
    """Medians over the runs. Rates are in tokens per second."""

    model: str
    description: str
    devices: list[str]
    prompt_tokens: int
    max_tokens: int
    runs: int
    prefill_rate: float
    decode_rate: float
    ttft_ms: float
    load_seconds: float
    peak_memory_bytes: int | None
    """Of this process since its start; None where the system does not tell."""


def bench(
    options: Options,
    name: Annotated[str, typer.Argument(help="The model's name.")],
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=2, help="Tokens to generate in each run.")] = 64,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", min=1, help="Length of the prompt.")] = 512,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Runs, after one to warm up.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure prefill and decode speed, time to first token and memory."""
    from shimmy.cli.loading import loaded
    from shimmy.cli.peak_memory import peak_memory

    start = time.perf_counter()
    with loaded(options.settings(), name) as (_, llm):
        load_seconds = time.perf_counter() - start
        if prompt_tokens + max_tokens > llm.info.n_ctx:
            raise InvalidRequestError(
                f"{prompt_tokens} prompt tokens and {max_tokens} new ones exceed the context of {llm.info.n_ctx}; ask "
                "for fewer or raise --ctx",
                param="prompt_tokens",
            )
        text = llm.tokenizer.encode(_TEXT)
        measured = [_run(llm, text, i, prompt_tokens, max_tokens) for i in range(runs + 1)][1:]
        report = Report(
            model=name,
            description=llm.info.description,
            devices=llm.info.devices,
            prompt_tokens=prompt_tokens,
            max_tokens=max_tokens,
            runs=runs,
            prefill_rate=median(run.prefill_rate for run in measured),
            decode_rate=median(run.decode_rate for run in measured),
            ttft_ms=median(run.ttft_seconds for run in measured) * 1000,
            load_seconds=load_seconds,
            peak_memory_bytes=peak_memory(),
        )
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print(report)


def _run(llm: LLM, text: list[int], number: int, prompt_tokens: int, max_tokens: int) -> Run:
    # Each run starts at another token: a cached prefix would be measured as prefill otherwise.
    prompt = [text[(i + number + 1) % len(text)] for i in range(prompt_tokens)]
    start = time.perf_counter()
    first: float | None = None
    usage: Usage | None = None
    for output in llm.stream(prompt, max_tokens=max_tokens, temperature=0.0, ignore_eos=True):
        if first is None and output.token_ids:
            first = time.perf_counter() - start
        usage = output.usage or usage
    if usage is None or first is None:
        raise EngineDeadError("the model ended a run without a token")
    computed = usage.prompt_tokens - usage.cached_tokens
    return Run(
        prefill_rate=_rate(computed, usage.prefill_seconds),
        decode_rate=_rate(usage.completion_tokens - 1, usage.decode_seconds),
        ttft_seconds=first,
    )


def _rate(tokens: int, seconds: float) -> float:
    return tokens / seconds if seconds > 0 else 0.0


def _print(report: Report) -> None:
    from shimmy.byte_size import size_text
    from shimmy.cli.table import print_table

    memory = report.peak_memory_bytes
    devices = ", ".join(report.devices) or "-"
    typer.echo(f"{report.model} ({report.description}) on {devices}, median of {report.runs} runs")
    print_table(
        ("MEASURE", ">VALUE", "UNIT"),
        [
            (f"prefill {report.prompt_tokens}", f"{report.prefill_rate:.1f}", "tok/s"),
            (f"decode {report.max_tokens}", f"{report.decode_rate:.1f}", "tok/s"),
            ("time to first token", f"{report.ttft_ms:.1f}", "ms"),
            ("load", f"{report.load_seconds:.2f}", "s"),
            ("peak memory", "-" if memory is None else size_text(memory), ""),
        ],
    )
