"""From a model on disk to an entry: with what Ollama, the options and the settings file say about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from shimmy.discovery.local_model import LocalModel
from shimmy.discovery.names import stem_name
from shimmy.errors import ModelLoadError
from shimmy.library.record import Record
from shimmy.models.entry import ModelEntry, Source
from shimmy.models.model_settings import ModelSettings, SettingsFile
from shimmy.models.ollama_options import defaults_of, options_of
from shimmy.request_defaults import RequestDefaults
from shimmy.settings import Settings, SettingsError
from shimmy.templates.choose import families

FindModel = Callable[[str], Path | None]
"""The file of the model of that name."""
ReadAdapter = Callable[[Path, LocalModel], None]
"""Checks that a file is an adapter for a model; raises ModelLoadError when it is not, SettingsError without one."""


def new_entry(model: LocalModel, source: Source, settings: Settings, adapters: dict[str, Path]) -> ModelEntry:
    """An entry with what Ollama keeps beside the model. A parameter of a wrong type becomes its fault."""
    entry = ModelEntry(
        name=model.name, source=source, model=model, adapters=adapters, settings=settings, aliases=model.aliases
    )
    layers = model.ollama
    if layers is None:
        return entry
    own = {f"adapter-{i}" if i > 1 else "adapter": path for i, path in enumerate(layers.adapters, 1)}
    try:
        options = options_of(layers.params)
    except msgspec.ValidationError as error:
        return msgspec.structs.replace(entry, fault=f"the parameters in {layers.manifest}: {error}")
    if settings.ctx is None and options.num_ctx is not None and options.num_ctx >= 16:
        settings = msgspec.structs.replace(settings, ctx=options.num_ctx)
    return msgspec.structs.replace(
        entry,
        settings=settings,
        adapters={**adapters, **own},
        defaults=defaults_of(layers, options, dict.fromkeys(own, 1.0)),
    )


def recorded(entry: ModelEntry, record: Record) -> ModelEntry:
    """`entry` under the name of a record of the library, asked with what that says."""
    below = entry.defaults
    try:
        options = options_of(record.parameters)
    except msgspec.ValidationError as error:
        return msgspec.structs.replace(
            entry, name=record.name, record=record, aliases=(), fault=f"the parameters of its record: {error}"
        )
    settings = entry.settings
    if options.num_ctx is not None:
        settings = msgspec.structs.replace(settings, ctx=options.num_ctx)
    defaults = RequestDefaults(
        sampling={**below.sampling, **options.sampling()},
        stop=options.stop_strings() or below.stop,
        max_tokens=below.max_tokens if options.max_tokens is None else options.max_tokens,
        system=record.system or below.system,
        messages=list(record.messages) or below.messages,
        lora=below.lora,
    )
    return msgspec.structs.replace(
        entry,
        name=record.name,
        record=record,
        source="discovered",
        aliases=(),
        settings=settings,
        defaults=defaults,
    )


def configured(
    entry: ModelEntry, file: SettingsFile, own: ModelSettings, find: FindModel, check_adapter: ReadAdapter
) -> ModelEntry:
    """`entry` with its own table of the settings file. What cannot be done becomes its fault."""
    faults = []
    changes = own.over(entry.settings)
    if own.context is not None:
        changes["ctx"] = own.context
    if own.template is not None:
        changes["chat_template"] = own.template if own.template in families() else str(file.file(own.template))
    if own.keep_alive is not None:
        changes["keep_alive"] = own.keep_alive
    if own.tune is not None:
        changes["tune"] = own.tune
    adapters, lora = dict(entry.adapters), dict(entry.defaults.lora)
    for given, scale in own.adapters.items():
        name = given
        if _is_file(given):
            path = file.file(given)
            name = stem_name(path)
            try:
                check_adapter(path, entry.model)
            except (ModelLoadError, SettingsError) as error:
                faults.append(error.message)
                continue
            adapters[name] = path
        elif given not in adapters:
            known = ", ".join(adapters) or "none"
            faults.append(f"{file.path} names the adapter {given!r}; it has {known}")
            continue
        lora[name] = scale
    draft = entry.draft
    if own.draft is not None:
        draft = file.file(own.draft) if _is_file(own.draft) else find(own.draft)
        if draft is None or not draft.is_file():
            faults.append(f"{file.path} names the draft model {own.draft!r}, which is not found")
    return msgspec.structs.replace(
        entry,
        settings=msgspec.structs.replace(entry.settings, **changes),
        adapters=adapters,
        aliases=tuple(dict.fromkeys((*entry.aliases, *own.aliases))),
        defaults=_over(own, entry.defaults, {name: scale for name, scale in lora.items() if scale}),
        draft=draft,
        pinned=own.pinned,
        capabilities=own.capabilities,
        fault="; ".join([*([entry.fault] if entry.fault else []), *faults]) or None,
    )


def _over(own: ModelSettings, below: RequestDefaults, lora: dict[str, float]) -> RequestDefaults:
    return RequestDefaults(
        sampling={**below.sampling, **own.sampling.sampling()},
        stop=list(own.stop) or below.stop,
        max_tokens=below.max_tokens if own.max_tokens is None else own.max_tokens,
        system=below.system if own.system is None else own.system,
        messages=below.messages,
        lora=lora,
    )


def _is_file(text: str) -> bool:
    return text.lower().endswith(".gguf") or text.startswith(("/", "./", "../", "~/", "\\", ".\\", "..\\"))
