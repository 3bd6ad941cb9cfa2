"""A model in this process: the native engine with its tokenizer and chat template. Below LLM and AsyncEngine."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from shimmy import _core, native_log
from shimmy.errors import InvalidRequestError
from shimmy.generation import Generation
from shimmy.model_info import EngineStats, LoadSpec, ModelInfo
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.templates.choose import choose_template

Progress = Callable[[float], object]


class LoadedModel:
    """Owns the engine. Loading blocks; `progress` is called with 0.0 to 1.0 and stops the load by returning False.

    Raises ModelLoadError (file), InvalidRequestError (options) and TemplateError (chat template).
    """

    def __init__(self, spec: LoadSpec, progress: Progress | None = None) -> None:
        native_log.install()
        started = time.perf_counter()
        model = _core.Model(spec.path, _core.ModelParams(**spec.model), progress)
        self.tokenizer = _core.Tokenizer(model)
        self.chat_format = self._compile(_template(spec, model))
        self.engine = _core.Engine(model, _core.ContextParams(**spec.context), _core.EngineParams(**spec.engine))
        for name, path in spec.adapters.items():
            self.engine.load_adapter(name, path)
        self.engine.start()
        self._spec = spec
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
        gpus = [device for device in _core.devices() if device.type in ("gpu", "igpu")]
        wanted = self._spec.model.get("n_gpu_layers", -1)
        most = model.n_layer + 1  # the output layer counts as one
        offloaded = 0 if not gpus else most if wanted < 0 else min(wanted, most)
        used = gpus if offloaded else [device for device in _core.devices() if device.type == "cpu"]
        return ModelInfo(
            name=self._spec.name,
            path=self._spec.path,
            architecture=model.architecture,
            description=model.description,
            n_params=model.n_params,
            size_bytes=model.size_bytes,
            n_ctx_train=model.n_ctx_train,
            n_ctx=self.engine.n_ctx,
            n_seq_max=self.engine.n_seq_max,
            n_vocab=model.n_vocab,
            adapters=self.engine.adapters,
            devices=[device.name for device in used],
            backend=used[0].backend if used else "CPU",
            n_layer=model.n_layer,
            n_gpu_layers=offloaded,
            has_chat_template=model.chat_template is not None,
            llama_cpp_commit=build["llama_cpp_commit"],
            cpu_features=build["cpu_features"],
            load_seconds=self._load_seconds,
        )

    def stats(self) -> EngineStats:
        stats = self.engine.stats
        return EngineStats(**{name: getattr(stats, name) for name in EngineStats.__struct_fields__})

    def render(self, prompt: ChatPrompt) -> _core.RenderedChat:
        """Raises InvalidRequestError (shape of the messages) and TemplateError."""
        if prompt.tool_choice == "required":
            raise InvalidRequestError("tool_choice 'required' cannot be enforced yet; use 'auto'", "tool_choice")
        return self.chat_format.render(
            msgspec.json.encode(prompt.messages),
            tools=msgspec.json.encode(prompt.tools) if prompt.tools else "",
            tool_choice=prompt.tool_choice,
            parallel_tool_calls=prompt.parallel_tool_calls,
            add_generation_prompt=prompt.add_generation_prompt,
            enable_thinking=prompt.enable_thinking,
            template_kwargs=msgspec.json.encode(prompt.template_kwargs) if prompt.template_kwargs else "",
        )

    def prepare(self, request: GenerateRequest) -> Generation:
        """Render and tokenize a request: everything before the engine. Takes milliseconds; any thread may do it."""
        _check_numbers(request)
        if isinstance(request.stop, str):  # list() would make a stop string of every letter
            raise InvalidRequestError("stop is a string, it must be a list of strings", "stop")
        sampling = _core.SamplingParams(**request.sampling)
        stop = list(request.stop)
        preserved: list[int] = []
        parser = None
        if isinstance(request.prompt, ChatPrompt):
            chat = self.render(request.prompt)
            tokens = self.tokenizer.encode(chat.prompt, add_special=not chat.starts_with_bos)
            stop += chat.stops
            for text in chat.preserved_tokens:
                ids = self.tokenizer.encode(text, add_special=False)
                preserved += ids if len(ids) == 1 else []
            parser = _core.ChatParser(chat)
        elif isinstance(request.prompt, str):
            tokens = self.tokenizer.encode(request.prompt)
        else:
            tokens = request.prompt
        return Generation(request, tokens, sampling, stop, preserved, parser)

    def add(self, generation: Generation) -> int:
        """Queue a prepared request and return the engine's id for it. Raises what `Engine.add_request` raises."""
        request = generation.request
        return self.engine.add_request(
            generation.tokens,
            generation.sampling,
            max_tokens=request.max_tokens,
            stop=generation.stop,
            stop_token_ids=request.stop_token_ids,
            ignore_eos=request.ignore_eos,
            logprobs=request.logprobs,
            lora=list(request.lora.items()),
            preserved_tokens=generation.preserved_tokens,
        )

    def close(self) -> None:
        """Cancel what runs and end the engine. Its memory is freed with the last reference."""
        self.engine.shutdown()


def _check_numbers(request: GenerateRequest) -> None:
    """The engine's integers have 32 bits; what they mean is checked there."""
    fields = {"stop_token_ids": request.stop_token_ids}
    if isinstance(request.prompt, list):
        fields["prompt"] = request.prompt
    if request.logprobs is not None:
        fields["logprobs"] = [request.logprobs]
    if request.max_tokens is not None:
        fields["max_tokens"] = [request.max_tokens]
    for field, numbers in fields.items():
        for number in (min(numbers), max(numbers)) if numbers else ():
            if not -(2**31) <= number < 2**31:
                raise InvalidRequestError(f"{field} holds {number}, which is beyond 32 bits", field)


def _template(spec: LoadSpec, model: _core.Model) -> str:
    """The one asked for, the model's own, or the one of its family."""
    own = spec.chat_template or model.chat_template
    family = choose_template(model.architecture, model.metadata.get("general.name", spec.name), None, has_own=bool(own))
    return own or family or ""
