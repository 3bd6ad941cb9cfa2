"""shimmy tune: which settings run a model fastest on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from shimmy.cli.options import Options
from shimmy.errors import InvalidRequestError
from shimmy.settings import Settings, SettingsError
from shimmy.tuning.search import MOST_BUSY
from shimmy.tuning.setup import KvType, Setup
from shimmy.tuning.store import Store
from shimmy.tuning.winner import Winner

if TYPE_CHECKING:
    from shimmy.model_info import LoadSpec

_SECONDS = 45.0
_DEPTH = 4096


def tune(
    options: Options,
    name: Annotated[str | None, typer.Argument(help="The model's name.")] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=5, max=3600, help="How long to search; the last check may take 1/5 more.")
    ] = _SECONDS,
    depth: Annotated[
        int, typer.Option("--depth", min=0, max=1_000_000, help="Tokens in the cache for what is measured at depth.")
    ] = _DEPTH,
    kv_types: Annotated[
        str,
        typer.Option(
            "--kv-types",
            metavar="TYPES",
            help='KV cache types to try besides f16, such as "f32,q8_0": quantised ones lose precision.',
        ),
    ] = "",
    long: Annotated[
        bool, typer.Option("--long", help="Let only speed at depth count; short contexts may get slower.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print what is stored, for a model or for all.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Forget what is stored, for a model or for all.")] = False,
) -> None:
    """Measure which settings run a model fastest on this machine, and store them for serve, generate and bench."""
    if show and clear:
        raise InvalidRequestError("--show and --clear exclude each other", "show")
    settings, store = options.settings(), Store()
    if show or clear:
        winners = store.all() if name is None else _stored(store, _spec(settings, name))
        (_clear if clear else _show)(store, winners, name, as_json=as_json)
        return
    if name is None:
        raise InvalidRequestError("which model? shimmy tune MODEL, or --show or --clear", "name")
    kinds = _kv_types(kv_types)
    winner = _measure(_spec(settings, name), seconds=seconds, depth=depth, kv_types=kinds, long=long)
    path = store.save(winner)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(winner)).decode())
        return
    _print(winner)
    typer.echo(f"stored in {path}; models are loaded with it unless --tune off, or settings of your own, say otherwise")


def _spec(settings: Settings, name: str) -> LoadSpec:
    """Raises ModelNotFoundError, SettingsError (backend) and what `load_spec` does."""
    from shimmy.cli.hardware import inspect_hardware, needs_check, with_backend
    from shimmy.models.registry import Registry

    if needs_check(settings):
        settings = with_backend(settings, inspect_hardware(settings.rpc or ()))
    return Registry(settings).get(name).load_spec()


def _measure(spec: LoadSpec, *, seconds: float, depth: int, kv_types: list[KvType], long: bool) -> Winner:
    from shimmy.cli.hardware import without_extension

    try:
        from shimmy.tuning.tuner import tune as search
    except ImportError as error:
        raise without_extension(error) from error
    from shimmy.cli.loading import progress_bar

    with progress_bar(f"tuning {spec.name}") as tell:
        return search(spec, seconds=seconds, depth=depth, kv_types=kv_types, long=long, tell=tell)


def _stored(store: Store, spec: LoadSpec) -> list[Winner]:
    from shimmy.cli.hardware import without_extension

    try:
        from shimmy.tuning.identity import identify
    except ImportError as error:
        raise without_extension(error) from error
    winner = store.find(identify(spec))
    return [] if winner is None else [winner]


def _show(store: Store, winners: list[Winner], name: str | None, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(winners)).decode())
        return
    if not winners:
        what = "nothing is stored" if name is None else f"nothing is stored for {name} on this machine and build"
        typer.echo(f"{what}; shimmy tune MODEL measures")
    for i, winner in enumerate(winners):
        typer.echo("" if i else f"in {store.folder}:")
        typer.echo(f"{winner.created}: {winner.identity.model}")
        _print(winner)


def _clear(store: Store, winners: list[Winner], name: str | None, *, as_json: bool) -> None:
    removed = store.clear() if name is None else sum(store.remove(winner.identity) for winner in winners)
    typer.echo(msgspec.json.encode({"removed": removed}).decode() if as_json else f"removed {removed}")


def _print(winner: Winner) -> None:
    from shimmy.cli.table import print_table

    identity = winner.identity
    alone = ", which alone counted" if winner.long else ""
    typer.echo(f"on {identity.machine.partition(', ')[0]}, in {winner.seconds:.0f} s; depth {winner.depth}{alone}")
    rows = []
    for workload, speed in winner.speeds.items():
        gain = speed.gain
        tuned = ("-", "-") if gain is None else (f"{speed.default_rate * gain.median:.1f}", _gain_text(gain.median))
        between = "" if gain is None else f"{gain.low:.2f} to {gain.high:.2f}"
        rows.append((workload, f"{speed.default_rate:.1f}", f"{speed.spread:.1%}", *tuned, between))
    print_table(("WORKLOAD", ">DEFAULT TOK/S", ">SPREAD", ">TUNED TOK/S", ">GAIN", "ROUNDS"), rows)
    typer.echo("")
    print_table(
        ("SETTING", "TRIED", "OUTCOME", ">ROUNDS", "GAINS"),
        [
            (
                trial.group,
                trial.name,
                f"{trial.outcome} ({trial.reason})" if trial.reason else trial.outcome,
                str(trial.rounds),
                ", ".join(f"{workload} {_gain_text(gain.median)}" for workload, gain in trial.gains.items()),
            )
            for trial in winner.trials
        ],
    )
    typer.echo("")
    if winner.busy > MOST_BUSY:
        typer.echo(
            f"other processes had {winner.busy:.0%} of the CPUs meanwhile, so small gains may be missed, and threads "
            "and polling stay as they are: a quiet machine shows more"
        )
    if winner.setup == Setup():
        typer.echo("nothing is proven faster than the defaults, so they stay")
    else:
        typer.echo(f"fastest: {winner.setup.text()}")


def _gain_text(ratio: float) -> str:
    return f"{ratio:.2f} x"


def _kv_types(text: str) -> list[KvType]:
    names = [word.strip().lower() for word in text.split(",") if word.strip()]
    try:
        return msgspec.convert(names, list[KvType])
    except msgspec.ValidationError as error:
        raise SettingsError(f"--kv-types {text}: {error}") from error
