"""Names, and what the settings file, Ollama and the options say about single models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ollama_files import HOST, add_model
from tiny_gguf import adapter_bytes, model_bytes, write_adapter, write_model

from shimmy.discovery.walk import Root
from shimmy.errors import ModelLoadError, ModelNotFoundError
from shimmy.models.registry import Registry
from shimmy.settings import Settings, SettingsError
from shimmy.templates.choose import family_template


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings" / "models.toml"


def registry(folder: Path, file: Path | None = None, text: str = "", **options: object) -> Registry:
    if file is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return Registry(Settings(model_settings=file, **options), roots=[Root(folder)])  # type: ignore[arg-type]


class TestSettingsFile:
    def test_is_applied(self, tmp_path: Path, file: Path) -> None:
        write_model(tmp_path / "big.gguf")
        small = write_model(tmp_path / "small.gguf")
        pirate = write_adapter(tmp_path / "big-pirate.gguf")
        legal = write_adapter(file.parent / "legal.gguf")
        text = """
            [models.big]
            context = 4096
            template = "gemma"
            devices = ["CUDA1"]
            draft = "small"
            system = "Be brief."
            stop = ["END"]
            max_tokens = 9
            tune = "off"
            sampling.temperature = 0.1
            adapters = { big-pirate = 0.5, "./legal.gguf" = 0 }
        """
        models = registry(tmp_path, file, text, ctx=1024)
        entry = models.get("big")
        spec = entry.load_spec()
        assert (spec.context, spec.model) == ({"n_ctx": 4096}, {"devices": ["CUDA1"]})
        assert spec.chat_template == family_template("gemma")
        assert spec.draft == str(small)
        assert spec.adapters == {"big-pirate": str(pirate), "legal": str(legal)}
        assert entry.defaults.lora == {"big-pirate": 0.5}
        assert (entry.defaults.system, entry.defaults.stop, entry.defaults.max_tokens) == ("Be brief.", ["END"], 9)
        assert entry.defaults.sampling == {"temperature": 0.1}
        assert models.get("small").load_spec().context == {"n_ctx": 1024}
        assert (spec.tune, models.get("small").load_spec().tune) == ("off", "auto")

    def test_placement_of_one_model(self, tmp_path: Path, file: Path) -> None:
        write_model(tmp_path / "big.gguf")
        write_model(tmp_path / "small.gguf")
        text = """
            [models.big]
            gpu_backend = "vulkan"
            gpu_layers = 12
            n_cpu_moe = 4
            kv_offload = false
            kv_unified = false
            cache_type_k = "q8_0"
            rpc = ["host:1"]
        """
        models = registry(
            tmp_path, file, text, gpu_backend="cuda", devices=("CUDA0",), gpu_layers="all", flash_attn="on"
        )
        big, small = models.get("big").load_spec(), models.get("small").load_spec()
        assert (big.gpu_backend, small.gpu_backend) == ("vulkan", "cuda")
        assert big.model == {"rpc_servers": ["host:1"], "n_gpu_layers": 12, "n_cpu_moe": 4}
        assert big.context == {"offload_kqv": False, "kv_unified": False, "type_k": "q8_0", "flash_attn": "on"}
        assert (small.model, small.context) == ({"devices": ["CUDA0"], "n_gpu_layers": -2}, {"flash_attn": "on"})

    def test_a_template_beside_it(self, tmp_path: Path, file: Path) -> None:
        write_model(tmp_path / "m.gguf")
        models = registry(tmp_path, file, "[models.m]\ntemplate = 'my.jinja'")
        (file.parent / "my.jinja").write_text("mine")
        assert models.get("m").load_spec().chat_template == "mine"

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("draft = 'nothing'", "draft model 'nothing', which is not found"),
            ("draft = './nothing.gguf'", "which is not found"),
            ("adapters = { nothing = 1 }", "names the adapter 'nothing'; it has none"),
            ("adapters = { './nothing.gguf' = 1 }", "nothing.gguf does not exist"),
            ("adapters = { '../m.gguf' = 1 }", "is not a LoRA adapter"),
        ],
    )
    def test_what_cannot_be_done_is_said_when_it_is_loaded(
        self, tmp_path: Path, file: Path, line: str, words: str
    ) -> None:
        write_model(tmp_path / "m.gguf")
        write_model(tmp_path / "fine.gguf")
        models = registry(tmp_path, file, f"[models.m]\n{line}")
        with pytest.raises(ModelLoadError, match=words):
            models.get("m").load_spec()
        assert any(words in problem.message for problem in models.problems)
        assert models.get("fine").load_spec()

    def test_a_model_that_is_not_there(self, tmp_path: Path, file: Path) -> None:
        write_model(tmp_path / "m.gguf")
        (problem,) = registry(tmp_path, file, "[models.gone]\ncontext = 512").problems
        assert (problem.path, problem.message) == (file, "settings for 'gone', which is not found")

    def test_one_that_is_wrong_changes_nothing_while_running(self, tmp_path: Path, file: Path) -> None:
        write_model(tmp_path / "m.gguf")
        models = registry(tmp_path, file, "[models.m]\nsystem = 'one'")
        file.write_text("[models.m]\nsytem = 'two'")
        with pytest.raises(SettingsError, match=r"models\.toml:2: unknown key 'sytem'"):
            models.rescan()
        assert models.get("m").defaults.system == "one"
        file.write_text("[models.m]\nsystem = 'two'")
        models.rescan()
        assert models.get("m").defaults.system == "two"

    def test_must_exist_when_it_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="do not exist"):
            Registry(Settings(model_settings=tmp_path / "no.toml"), roots=[])


class TestAliases:
    def test_lead_to_the_model_in_any_case(self, tmp_path: Path, file: Path) -> None:
        write_model(tmp_path / "m.gguf")
        models = registry(tmp_path, file, "[models.m]\naliases = ['GPT-4o']")
        assert models.get("gpt-4o").name == models.get("GPT-4o").name == models.get("M").name == "m"
        assert models.names() == ["m"]
        with pytest.raises(ModelNotFoundError, match="Did you mean 'gpt-4o'"):
            models.get("gpt-4oo")

    def test_never_hide_a_model(self, tmp_path: Path, file: Path) -> None:
        write_model(tmp_path / "a.gguf")
        write_model(tmp_path / "b.gguf")
        models = registry(tmp_path, file, "[models.a]\naliases = ['b']")
        assert models.get("b").name == "b"
        assert "'b' is a name of 'b' already" in models.problems[0].message

    def test_name_the_model_in_the_settings_too(self, tmp_path: Path, file: Path) -> None:
        add_model(tmp_path / "store", "llama3:8b")
        models = registry(tmp_path, file, '[models."library/llama3:8b"]\ncontext = 512')
        assert models.get("llama3:8b").load_spec().context == {"n_ctx": 512}


class TestOllama:
    def test_layers_become_defaults(self, tmp_path: Path, file: Path) -> None:
        params = {"temperature": 1, "stop": ["<|eot|>"], "num_ctx": 512, "num_predict": -1, "num_gpu": 3}
        messages = [{"role": "user", "content": "hi"}]
        add_model(
            tmp_path,
            "llama3:8b",
            params=json.dumps(params).encode(),
            system=b"Be brief.",
            messages=json.dumps(messages).encode(),
            adapter=adapter_bytes(),
        )
        models = registry(tmp_path, file, '[models."llama3:8b"]\nsampling.top_k = 3')
        entry = models.get(f"{HOST}/library/llama3:8b")
        spec = entry.load_spec()
        assert entry.name == spec.name == "llama3:8b"
        assert spec.context == {"n_ctx": 512}
        assert list(spec.adapters) == ["adapter"]
        assert entry.defaults.sampling == {"temperature": 1.0, "top_k": 3}
        assert (entry.defaults.stop, entry.defaults.max_tokens) == (["<|eot|>"], None)
        assert (entry.defaults.system, entry.defaults.messages) == ("Be brief.", messages)
        assert entry.defaults.lora == {"adapter": 1.0}

    def test_the_context_that_is_asked_for_wins(self, tmp_path: Path) -> None:
        add_model(tmp_path, "m", params=b'{"num_ctx": 512}')
        assert registry(tmp_path, ctx=2048).get("m:latest").load_spec().context == {"n_ctx": 2048}

    def test_its_template_tells_the_family_when_the_file_has_none(self, tmp_path: Path) -> None:
        go = b"{{ if .System }}<|start_header_id|>system<|end_header_id|>{{ .System }}{{ end }}"
        add_model(tmp_path, "own", template=go)
        add_model(tmp_path, "none", model_bytes({"tokenizer.chat_template": None}), template=go)
        models = registry(tmp_path)
        assert models.get("own").load_spec().chat_template is None
        assert models.get("none").load_spec().chat_template == family_template("llama3")

    def test_a_parameter_of_a_wrong_type_is_a_fault(self, tmp_path: Path) -> None:
        add_model(tmp_path, "m", params=b'{"temperature": "hot"}')
        models = registry(tmp_path)
        with pytest.raises(ModelLoadError, match=r"temperature"):
            models.get("m").load_spec()


def test_given_adapters_apply_by_default(tmp_path: Path) -> None:
    given = write_model(tmp_path / "m.gguf")
    write_adapter(tmp_path / "m-paired.gguf")
    lora = write_adapter(tmp_path / "elsewhere" / "mine.gguf")
    entry = registry(tmp_path, model_path=given, lora=(lora,)).get("m")
    assert set(entry.adapters) == {"m-paired", "mine"}
    assert entry.defaults.lora == {"mine": 1.0}


def test_many_names_are_not_all_listed(tmp_path: Path) -> None:
    for i in range(120):
        write_model(tmp_path / f"m{i}.gguf")
    with pytest.raises(ModelNotFoundError, match="and 21 more"):
        registry(tmp_path).get("x")


def test_the_known_places_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shimmy.models.registry import search_roots

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "o"))
    for variable in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    paths = [root.path for root in search_roots(Settings(model_dirs=(Path("/mine"),)))]
    assert paths[:4] == [Path("models"), Path("/mine"), tmp_path / "o", tmp_path / ".cache" / "huggingface" / "hub"]
    assert paths[-1] == tmp_path / ".local" / "share" / "shimmy" / "models"
