"""A model in this process: the native engine and embedder with their tokenizer and chat template.

Below LLM and AsyncEngine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from shimmy import _core, native_log
from shimmy.cache_miss import diagnose_miss
from shimmy.call_grammar import calls_at_once, check_names
from shimmy.context_policy import answer_limit, check_policy
from shimmy.device_choice import Chosen, check_limit, uses_of
from shimmy.embedder import Embedder
from shimmy.errors import InvalidRequestError
from shimmy.fitted_prompt import PromptFitter
from shimmy.generation import Generation
from shimmy.grammar import GrammarSpec
from shimmy.kept_prefixes import KeptPrefixes, kept_prefixes
from shimmy.kv_store.model_files import files_version
from shimmy.model_info import EngineStats, LoadSpec, ModelInfo
from shimmy.output import Usage
from shimmy.output_grammars import OutputGrammars
from shimmy.rendered_prompt import RenderedPrompt, begun_answer
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.templates.choose import choose_template
from shimmy.thread_name import thread_name
from shimmy.tuning.apply import place, tuned_setup

Progress = Callable[[float], object]


class LoadedModel:
    """Owns the engine, which is None for a model that only embeds, and the embedder.

    Loading blocks; `progress` is called with 0.0 to 1.0 and stops the load by returning False. Raises ModelLoadError
    (file), InvalidRequestError (options) and TemplateError (chat template).
    """

    def __init__(self, spec: LoadSpec, progress: Progress | None = None) -> None:
        native_log.install()
        started = time.perf_counter()
        tuned, chosen = place(spec, tuned_setup(spec))
        version = files_version(spec.path)
        model = _core.Model(spec.path, _core.ModelParams(**chosen.model), progress)
        if spec.adapters and not model.can_generate:
            raise InvalidRequestError(f"{spec.name} cannot generate text, so it takes no LoRA adapters", "adapters")
        self.tokenizer = _core.Tokenizer(model)
        self.chat_format = self._compile(_template(spec, model))
        self.grammars = OutputGrammars(self.tokenizer)
        self.embedder = Embedder(model, self.tokenizer, spec)
        with thread_name("shimmy-compute"):
            self.engine = _make_engine(spec, model, chosen) if model.can_generate else None
        if self.engine is None:
            self.embedder.prepare()  # a model that cannot do this either is an error now
            self._memory = self.embedder.memory
        else:
            self._memory = uses_of(self.engine.memory)
        check_limit(spec, self._memory)
        self._kept: KeptPrefixes | None = None
        if self.engine is not None and spec.kv_store is not None and spec.engine.get("prefix_cache", True):
            self._kept = kept_prefixes(self.engine, spec.kv_store, version)
        if self.engine is not None:
            with thread_name("shimmy-compute"):
                self.engine.start()
        n_ctx = self.engine.n_ctx if self.engine else self.embedder.max_input_tokens
        self._fitter = PromptFitter(self.tokenizer, self.render, n_ctx)
        self._spec = spec
        self._tuned = tuned
        self._model = model
        self._load_seconds = time.perf_counter() - started

    def _compile(self, source: str) -> _core.ChatFormat:
        def text(token: int | None) -> str:
            return "" if token is None else self.tokenizer.piece(token, special=True).decode("utf-8", "replace")

        return _core.ChatFormat(source, text(self.tokenizer.bos), text(self.tokenizer.eos))

    @property
    def info(self) -> ModelInfo:
        model = self._model
        build = _core.build_info()
        offloaded = model.offloaded_layers
        gpus = [device for device in _core.devices() if device.type in ("gpu", "igpu")]
        used = [use for use in self._memory if use.type != "cpu"] if offloaded else self._memory[-1:]
        return ModelInfo(
            name=self._spec.name,
            path=self._spec.path,
            architecture=model.architecture,
            description=model.description,
            n_params=model.n_params,
            size_bytes=model.size_bytes,
            n_ctx_train=model.n_ctx_train,
            n_ctx=self.engine.n_ctx if self.engine else self.embedder.max_input_tokens,
            n_seq_max=self.engine.n_seq_max if self.engine else self.embedder.n_seq_max,
            n_vocab=model.n_vocab,
            adapters=self.engine.adapters if self.engine else [],
            devices=[device.name for device in used],
            backend=used[0].backend if used else "CPU",
            n_layer=model.n_layer,
            n_gpu_layers=offloaded,
            n_partial_layers=model.partly_offloaded_layers,
            memory=self._memory,
            vram_bytes=sum(use.used for use in self._memory if use.type != "cpu") if offloaded else 0,
            vram_limit=self._spec.vram_limit,
            vram_total=sum(device.memory_total for device in gpus),
            has_chat_template=model.chat_template is not None,
            can_generate=self.engine is not None,
            n_embd=model.n_embd_out,
            pooling=model.pooling,
            fim_tokens=self._fim_tokens(),
            llama_cpp_commit=build["llama_cpp_commit"],
            cpu_features=build["cpu_features"],
            load_seconds=self._load_seconds,
            tuned={**self._tuned.model_options(), **self._tuned.context_options()},
        )

    def _fim_tokens(self) -> list[int]:
        tokens = (self.tokenizer.fim_pre, self.tokenizer.fim_suf, self.tokenizer.fim_mid)
        return [] if None in tokens else [token for token in tokens if token is not None]

    @property
    def death(self) -> str:
        """Why the engine or the embedder ended; empty while they live."""
        return (self.engine.death if self.engine else "") or self.embedder.death

    def load_adapter(self, name: str, path: str) -> None:
        """Load a LoRA adapter, or replace the one of that name for later requests. ModelLoadError says what is wrong
        with the file.
        """
        if self.engine is None:
            raise InvalidRequestError(
                f"{self._spec.name} cannot generate text, so it takes no LoRA adapters", "adapters"
            )
        self.engine.load_adapter(name, path)

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter; requests that use it finish with it. Raises ModelNotFoundError."""
        self.generator().unload_adapter(name)

    def stats(self) -> EngineStats:
        if self.engine is None:
            return EngineStats()
        stats = self.engine.stats
        return EngineStats(**{name: getattr(stats, name) for name in EngineStats.__struct_fields__})

    def render(self, prompt: ChatPrompt) -> RenderedPrompt:
        """Raises InvalidRequestError (shape of the messages, names of the tools) and TemplateError."""
        if prompt.continue_final_message:
            return begun_answer(prompt, self._render)
        return RenderedPrompt(self._render(prompt))

    def _render(self, prompt: ChatPrompt) -> _core.RenderedChat:
        tools = prompt.tools
        if prompt.tool_name is not None:
            tools = [tool for tool in tools if tool.get("function", {}).get("name") == prompt.tool_name]
            if not tools:
                raise InvalidRequestError(f"there is no tool named '{prompt.tool_name}'", "tool_choice")
        if prompt.tool_choice != "none":
            check_names(tools)
        return self.chat_format.render(
            msgspec.json.encode(prompt.messages),
            tools=msgspec.json.encode(tools) if tools else "",
            tool_choice=prompt.tool_choice,
            parallel_tool_calls=prompt.parallel_tool_calls,
            add_generation_prompt=prompt.add_generation_prompt,
            enable_thinking=prompt.enable_thinking,
            template_kwargs=msgspec.json.encode(prompt.template_kwargs) if prompt.template_kwargs else "",
        )

    def chat_tokens(self, prompt: ChatPrompt) -> list[int]:
        """A conversation's tokens. Raises as `render`."""
        return self._fitter.tokens_of(self.render(prompt), prompt.context)

    def prepare(self, request: GenerateRequest) -> Generation:
        """Render, tokenize and fit a prompt: all before the engine. Takes milliseconds; any thread may do it."""
        self.generator()
        _check_numbers(request)
        check_policy(request.context_policy)
        for field in ("stop", "banned_strings"):
            if isinstance(getattr(request, field), str):  # list() would make an entry of every letter
                raise InvalidRequestError(f"{field} is a string, it must be a list of strings", field)
        sampling = _core.SamplingParams(**self._with_token_bias(request.sampling))
        stop = list(request.stop)
        preserved: list[int] = []
        parser = None
        grammar = None
        prompt = request.prompt
        if isinstance(prompt, ChatPrompt) and request.grammar is not None:
            prompt = msgspec.structs.replace(prompt, enable_thinking=False)
        fitted = self._fitter.fit(request, prompt)
        if isinstance(prompt, ChatPrompt) and fitted.rendered is not None:
            chat = fitted.rendered.chat
            grammar = self._grammar(request.grammar, prompt, chat)
            stop += chat.stops
            for text in chat.preserved_tokens:
                ids = self.tokenizer.encode(text, add_special=False)
                preserved += ids if len(ids) == 1 else []
            parser = fitted.rendered.parser()
        if grammar is None and request.grammar is not None:
            grammar = self.grammars.for_output(request.grammar)
        # Where the prompt of an answer that goes on left the cache says nothing: its engine is new.
        diagnose = None if request.answered else partial(diagnose_miss, self.tokenizer)
        return Generation(request, fitted, sampling, stop, preserved, parser, grammar, diagnose)

    def _grammar(self, spec: GrammarSpec | None, prompt: ChatPrompt, chat: _core.RenderedChat) -> _core.Grammar | None:
        """What the answer of a conversation has to look like, tool calls included."""
        if not prompt.tools or prompt.tool_choice == "none":
            return None
        if prompt.tool_choice == "required" and not chat.grammar:
            raise InvalidRequestError(
                "this model's chat template has no format for tool calls, so none can be required", "tool_choice"
            )
        if prompt.continue_final_message and not chat.grammar_lazy:
            return None  # it describes an answer from its beginning
        parallel = prompt.parallel_tool_calls
        if prompt.tool_choice == "required" and calls_at_once(chat.grammar) is None:
            optional = self._render(msgspec.structs.replace(prompt, tool_choice="auto"))
            thinks = prompt.enable_thinking and chat.supports_thinking  # before it calls
            if optional.grammar_lazy and not thinks:
                return self.grammars.for_calls_only(optional, parallel=parallel)
        if spec is None or prompt.tool_choice == "required":
            return self.grammars.for_tools(chat, parallel=parallel)
        return self.grammars.for_either(spec, chat, parallel=parallel)

    def _with_token_bias(self, sampling: dict[str, Any]) -> dict[str, Any]:
        bias = sampling.get("logit_bias")
        if not isinstance(bias, dict) or not any(isinstance(key, str) for key in bias):
            return sampling
        by_token: dict[Any, Any] = {key: value for key, value in bias.items() if not isinstance(key, str)}
        for text, value in bias.items():
            if text == "":
                raise InvalidRequestError("logit_bias has an empty text: give text or a token id", "logit_bias")
            if isinstance(text, str):
                by_token.update(dict.fromkeys(self.tokenizer.encode(text, add_special=False), value))
        return {**sampling, "logit_bias": by_token}

    def add(self, generation: Generation) -> int:
        """Queue a prepared request and return the engine's id for it. Raises what `Engine.add_request` raises."""
        request = generation.request
        engine = self.generator()
        limit = answer_limit(engine.n_ctx, request.context_policy, request.max_tokens, request.min_tokens)
        return engine.add_request(
            generation.fitted.tokens,
            generation.sampling,
            max_tokens=limit,
            min_tokens=request.min_tokens,
            stop=generation.stop,
            stop_token_ids=request.stop_token_ids,
            ignore_eos=request.ignore_eos,
            banned_strings=request.banned_strings,
            logprobs=request.logprobs,
            prompt_logprobs=request.prompt_logprobs,
            token_healing=request.token_healing,
            grammar=generation.grammar,
            speculation=request.speculation,
            lora=list(request.lora.items()),
            preserved_tokens=generation.preserved_tokens,
            tenant=request.tenant,
            priority=request.priority,
            deadline=request.deadline,
            n_keep=generation.fitted.n_keep,
            answered=request.answered,
        )

    def restore(self, generation: Generation) -> None:
        """Bring back from disk what a prepared request can begin with, if that is faster than computing it."""
        if self._kept is not None:
            generation.trial = self._kept.restore(generation.request, generation.fitted.tokens)

    def used(self, generation: Generation, usage: Usage) -> None:
        """A request has ended well."""
        if self._kept is not None:
            self._kept.used(generation.request, generation.fitted.tokens, usage)

    def close(self) -> None:
        """Cancel what runs and end the engine and the embedder, after some seconds at most if prefixes are to be
        written. Memory is freed with the last reference.
        """
        if self._kept is not None:
            self._kept.close()
        self.embedder.close()
        if self.engine is not None:
            self.engine.shutdown()

    def generator(self) -> _core.Engine:
        if self.engine is None:
            raise InvalidRequestError(
                f"{self._spec.name} ({self._model.architecture}) cannot generate text: it embeds or ranks only", "model"
            )
        return self.engine


def _make_engine(spec: LoadSpec, model: _core.Model, chosen: Chosen) -> _core.Engine:
    draft = None if spec.draft is None else _core.Model(spec.draft, _core.ModelParams(**chosen.draft))
    engine = _core.Engine(model, _core.ContextParams(**chosen.context), _core.EngineParams(**spec.engine), draft)
    for name, path in spec.adapters.items():
        engine.load_adapter(name, path)
    return engine


def _check_numbers(request: GenerateRequest) -> None:
    """The engine's integers have 32 bits; what they mean is checked there."""
    fields = {"stop_token_ids": request.stop_token_ids, "answered": request.answered}
    if isinstance(request.prompt, list):
        fields["prompt"] = request.prompt
    elif isinstance(request.prompt, ChatPrompt):
        fields["context"] = request.prompt.context
    for field in ("logprobs", "prompt_logprobs", "max_tokens", "min_tokens", "priority", "n_keep"):
        number = getattr(request, field)
        if number is not None:
            fields[field] = [number]
    for field, numbers in fields.items():
        for number in (min(numbers), max(numbers)) if numbers else ():
            if not -(2**31) <= number < 2**31:
                raise InvalidRequestError(f"{field} holds {number}, which is beyond 32 bits", field)


def _template(spec: LoadSpec, model: _core.Model) -> str:
    """The one asked for, the model's own, or the one of its family."""
    own = spec.chat_template or model.chat_template
    family = choose_template(model.architecture, model.metadata.get("general.name", spec.name), None, has_own=bool(own))
    return own or family or ""
