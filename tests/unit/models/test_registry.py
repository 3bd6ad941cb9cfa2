from __future__ import annotations

import difflib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tiny_gguf import write_adapter, write_model

from shimmy.demo_model import demo_adapter_paths, demo_model_path
from shimmy.discovery.gguf_header import GgufError
from shimmy.discovery.walk import Root
from shimmy.errors import InvalidRequestError, ModelLoadError, ModelNotFoundError
from shimmy.model_info import KvStoreSpec
from shimmy.models.registry import DEMO_NAME, Registry, search_roots
from shimmy.settings import Settings, SettingsError
from shimmy.templates.choose import family_template


def registry(*folders: Path, **options: object) -> Registry:
    return Registry(Settings(**options), roots=[Root(folder) for folder in folders])  # type: ignore[arg-type]


def test_the_demo_model_when_nothing_is_found() -> None:
    models = registry()
    assert models.names() == [DEMO_NAME]
    entry = models.get(DEMO_NAME)
    assert (entry.path, entry.source, entry.kind) == (demo_model_path(), "registered", "chat")
    assert entry.size_bytes == demo_model_path().stat().st_size
    assert entry.created == int(demo_model_path().stat().st_mtime)
    spec = entry.load_spec()
    assert spec.adapters == {name: str(path) for name, path in demo_adapter_paths().items()}
    assert set(spec.adapters) == {"pirate", "terse"}
    assert (spec.name, spec.path, spec.chat_template) == (DEMO_NAME, str(demo_model_path()), None)
    assert (spec.model, spec.context, spec.engine) == ({}, {}, {})


def test_what_prompts_have_in_common_is_kept_on_disk_unless_that_is_off(tmp_path: Path) -> None:
    kept = registry(kv_cache_dir=tmp_path, kv_cache_disk=123).get(DEMO_NAME).load_spec()
    assert kept.kv_store == KvStoreSpec(str(tmp_path), 123)
    assert registry().get(DEMO_NAME).load_spec().kv_store is not None
    assert registry(kv_cache_disk=0).get(DEMO_NAME).load_spec().kv_store is None


def test_the_demo_model_is_left_out_beside_others_but_can_be_asked_for(tmp_path: Path) -> None:
    write_model(tmp_path / "zebra.gguf")
    assert registry(tmp_path).names() == ["zebra"]
    assert registry(tmp_path).get(DEMO_NAME).path == demo_model_path()
    assert registry(tmp_path, demo_model=True).names() == ["zebra", DEMO_NAME]


def test_models_that_do_not_generate_are_loadable_but_not_listed(tmp_path: Path) -> None:
    write_model(tmp_path / "embed.gguf", {"general.architecture": "bert"})
    write_adapter(tmp_path / "style.gguf")
    models = registry(tmp_path)
    assert models.names() == [DEMO_NAME]
    assert models.get("embed").kind == "embedding"
    assert [entry.name for entry in models.entries()] == ["embed", DEMO_NAME]
    with pytest.raises(ModelNotFoundError, match="is of kind adapter"):
        models.get("style")


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    write_model(tmp_path / "llama-8b.gguf")
    with pytest.raises(ModelNotFoundError) as caught:
        registry(tmp_path).get("Lama-8b")
    assert "available: llama-8b, shimmy-mini" in str(caught.value)
    assert "Did you mean 'llama-8b'?" in str(caught.value)


def test_a_long_name_is_cut_and_compared_with_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "llama-8b.gguf")
    compared: list[str] = []
    monkeypatch.setattr(difflib, "get_close_matches", lambda name, *_, **__: compared.append(name) or [])
    for length in (200, 201, 1_000_000):
        with pytest.raises(ModelNotFoundError, match="available: llama-8b") as caught:
            registry(tmp_path).get("x" * length)
        assert len(caught.value.message) < 300
    assert compared == ["x" * 200]


class TestModelPath:
    def test_comes_first_under_its_stem_and_once(self, tmp_path: Path) -> None:
        given = write_model(tmp_path / "given" / "Zed_1.gguf")
        write_model(tmp_path / "given" / "alpha.gguf")
        write_model(tmp_path / "other" / "zed-1.gguf")
        models = registry(tmp_path / "other", given.parent, model_path=given)
        assert models.names() == ["zed-1", "alpha", "other/zed-1"]
        assert models.get("zed-1").path == given
        assert [models.get(name).source for name in models.names()] == ["registered", "discovered", "discovered"]

    def test_its_folder_is_searched(self, tmp_path: Path) -> None:
        settings = Settings(
            model_path=tmp_path / "m.gguf", model_dirs=(Path("/x"),), library=Path("/lib"), search_known=False
        )
        assert search_roots(settings) == [
            Root(Path("models"), required=False),
            Root(tmp_path),
            Root(Path("/x")),
            Root(Path("/lib"), required=False),
        ]

    def test_adapters_given_and_paired(self, tmp_path: Path) -> None:
        given = write_model(tmp_path / "m.gguf")
        paired = write_adapter(tmp_path / "m-style.gguf")
        lora = write_adapter(tmp_path / "elsewhere" / "My_Lora.gguf")
        spec = registry(tmp_path, model_path=given, lora=(lora,)).get("m").load_spec()
        assert spec.adapters == {"m-style": str(paired), "my-lora": str(lora)}

    def test_any_part_of_a_split_model(self, tmp_path: Path) -> None:
        first = write_model(tmp_path / "m-00001-of-00002.gguf")
        second = write_model(tmp_path / "m-00002-of-00002.gguf")
        models = registry(tmp_path, model_path=second)
        assert models.names() == ["m"]
        assert models.get("m").path == first

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"model .*no\.gguf does not exist"):
            registry(model_path=tmp_path / "no.gguf")

    def test_malformed(self, tmp_path: Path) -> None:
        (tmp_path / "bad.gguf").write_bytes(b"x" * 100)
        with pytest.raises(GgufError, match=r"bad\.gguf: not a GGUF file"):
            registry(model_path=tmp_path / "bad.gguf")

    def test_an_adapter_is_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(ModelLoadError, match="is a LoRA adapter, not a model"):
            registry(model_path=write_adapter(tmp_path / "a.gguf"))

    def test_wrong_adapters(self, tmp_path: Path) -> None:
        given = write_model(tmp_path / "m.gguf")
        foreign = write_adapter(tmp_path / "f.gguf", {"general.architecture": "qwen3"})
        with pytest.raises(ModelLoadError, match=r"for qwen3 models; .*m\.gguf is llama"):
            registry(model_path=given, lora=(foreign,))
        with pytest.raises(ModelLoadError, match="not a LoRA adapter but a file of kind chat"):
            registry(model_path=given, lora=(given,))
        with pytest.raises(ModelLoadError, match=r"convert_lora_to_gguf\.py"):
            registry(model_path=given, lora=(tmp_path / "adapter.safetensors",))
        with pytest.raises(SettingsError, match=r"LoRA adapter .* does not exist"):
            registry(model_path=given, lora=(tmp_path / "no.gguf",))


class TestLoadSpec:
    def test_settings_are_applied(self, tmp_path: Path) -> None:
        write_model(tmp_path / "m.gguf")
        models = registry(tmp_path, ctx=8192, devices=("CUDA1",), max_waiting=7, chat_template="gemma")
        spec = models.get("m").load_spec()
        assert spec.context == {"n_ctx": 8192}
        assert spec.model == {"devices": ["CUDA1"]}
        assert spec.engine == {"max_waiting": 7}
        assert spec.chat_template == family_template("gemma")

    def test_stored_tuning_is_used_unless_told_otherwise(self, tmp_path: Path) -> None:
        write_model(tmp_path / "m.gguf")
        assert registry(tmp_path).get("m").load_spec().tune == "auto"
        assert registry(tmp_path, tune="off").get("m").load_spec().tune == "off"

    def test_cpu_means_no_gpu_at_all(self, tmp_path: Path) -> None:
        write_model(tmp_path / "m.gguf")
        spec = registry(tmp_path, gpu_backend="cpu").get("m").load_spec()
        assert (spec.model, spec.context) == ({"devices": ["CPU"], "n_gpu_layers": 0}, {})

    def test_the_family_when_the_file_has_no_template(self, tmp_path: Path) -> None:
        metadata = {"tokenizer.chat_template": None, "general.name": "Llama 3 8B Instruct"}
        write_model(tmp_path / "m.gguf", metadata)
        assert registry(tmp_path).get("m").load_spec().chat_template == family_template("llama3")

    def test_a_bad_template_is_an_error(self, tmp_path: Path) -> None:
        write_model(tmp_path / "m.gguf")
        with pytest.raises(InvalidRequestError, match="chatml"):
            registry(tmp_path, chat_template="nope").get("m").load_spec()


def test_rescan_swaps_the_list(tmp_path: Path) -> None:
    one = write_model(tmp_path / "one.gguf")
    models = registry(tmp_path)
    entry = models.get("one")
    one.unlink()
    write_model(tmp_path / "two.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"bad")
    assert models.names() == ["one"]
    models.rescan()
    assert models.names() == ["two"]
    assert entry.name == "one"
    assert [problem.path.name for problem in models.problems] == ["bad.gguf"]


def test_readers_never_see_half_a_search(tmp_path: Path) -> None:
    for i in range(20):
        write_model(tmp_path / f"m{i}.gguf")
    models = registry(tmp_path)
    stop = threading.Event()

    def rescan() -> None:
        while not stop.is_set():
            models.rescan()

    threads = [threading.Thread(target=rescan) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert all(len(models.names()) == 20 for _ in range(2000))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_registry_does_not_load_the_native_extension() -> None:
    code = "import sys, shimmy.models.registry; print('shimmy._core' in sys.modules, 'llama_cpp' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert out.split() == ["False", "False"]
