"""probe, generate and bench, with a fake native runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_llm import FakeLLM
from tiny_gguf import write_model
from typer.testing import Result

from shimmy.cli.peak_memory import peak_memory
from shimmy.errors import EngineDeadError
from shimmy.request import ChatPrompt
from shimmy.server.schemas.native import NATIVE_DEFAULTS

Run = Callable[..., Result]


def chat(*messages: tuple[str, str]) -> ChatPrompt:
    return ChatPrompt(messages=[{"role": role, "content": content} for role, content in messages])


PLACEMENT = (
    *("--main-gpu", "0", "--split-mode", "row", "--tensor-split", "3,1", "--gpu-layers", "all"),
    *("--gpu-margin", "100", "--override-tensor", "a=CPU", "--override-tensor", "b=CPU", "--no-kv-offload"),
    *("--no-kv-unified", "--max-num-seqs", "32"),
    *("--cache-type-k", "q8_0", "--cache-type-v", "q4_0", "--flash-attn", "on", "--backend-sampling", "off"),
)


class TestProbe:
    def test_ok(self, run: Run) -> None:
        result = run("probe", "shimmy-mini")
        assert result.exit_code == 0
        assert result.stdout.startswith("ok: shimmy-mini (llama 10.9M Q8_0) on CPU: loaded in ")
        assert FakeLLM.calls[0][1]["max_tokens"] == 1

    def test_a_load_that_fails(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FakeLLM, "broken", "load")
        result = run("probe", "shimmy-mini")
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.endswith("the tensors are missing\n")
        assert result.stderr.count("\n") == 1

    def test_a_malformed_file(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "bad.gguf").write_bytes(b"bad" * 100)
        result = run("probe", "bad", "--model-dirs", ".")
        assert result.exit_code == 1
        (tmp_path / "config.toml").write_text('model_path = "bad.gguf"')
        result = run("probe", "bad")
        assert result.exit_code == 2
        assert "not a GGUF file" in result.stderr


class TestGenerate:
    def test_through_the_template(self, run: Run) -> None:
        result = run("generate", "shimmy-mini", "--prompt", "Hi", "--system", "Be brief.")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "Hello there\n", "")
        prompt, options = FakeLLM.calls[0]
        assert prompt == chat(("system", "Be brief."), ("user", "Hi"))
        assert options == {"max_tokens": 64, "stop": [], "lora": {}, "ignore_eos": False, **NATIVE_DEFAULTS}

    def test_raw_streamed_with_options(self, run: Run) -> None:
        arguments = ["--raw", "--stream", "--temperature", "0", "--seed", "7", "--max-tokens", "5"]
        result = run("generate", "shimmy-mini", "-p", "Once", *arguments)
        assert result.stdout == "Hello there\n"
        prompt, options = FakeLLM.calls[0]
        assert prompt == "Once"
        assert (options["temperature"], options["seed"], options["max_tokens"]) == (0.0, 7, 5)

    def test_prompt_from_stdin(self, run: Run) -> None:
        run("generate", "shimmy-mini", "--prompt", "-", "--raw", input="from a pipe")
        assert FakeLLM.calls[0][0] == "from a pipe"

    def test_reasoning_shows_only_when_verbose(self, run: Run) -> None:
        result = run("generate", "shimmy-mini", "--prompt", "Hi", "--verbose")
        assert "hm " in result.stderr
        assert result.stdout == "Hello there\n"

    def test_adapters(self, run: Run) -> None:
        run("generate", "shimmy-mini", "-p", "Hi", "--lora", "pirate", "--lora", "terse=0.5")
        assert FakeLLM.calls[0][1]["lora"] == {"pirate": 1.0, "terse": 0.5}
        assert set(FakeLLM.loaded[0].adapters) == {"pirate", "terse"}

    @pytest.mark.parametrize(
        ("lora", "words"), [("nope", "it has pirate, terse"), ("pirate=much", "'much' is not a number")]
    )
    def test_wrong_adapters(self, run: Run, lora: str, words: str) -> None:
        result = run("generate", "shimmy-mini", "-p", "Hi", "--lora", lora)
        assert result.exit_code == 1
        assert words in result.stderr

    def test_system_needs_a_template(self, run: Run) -> None:
        assert run("generate", "shimmy-mini", "-p", "Hi", "--raw", "--system", "x").exit_code == 1
        assert FakeLLM.loaded == []

    def test_settings_reach_the_load(self, run: Run, tmp_path: Path) -> None:
        write_model(tmp_path / "models" / "m.gguf")
        run("generate", "m", "-p", "Hi", "--ctx", "4096", "--gpu-backend", "cpu")
        (spec,) = FakeLLM.loaded
        assert spec.context["n_ctx"] == 4096
        assert (spec.gpu_backend, spec.model) == ("cpu", {"devices": ["CPU"], "n_gpu_layers": 0})

    def test_placement_reaches_the_load(self, run: Run, tmp_path: Path) -> None:
        write_model(tmp_path / "models" / "m.gguf")
        run("--cpu-moe", "generate", "m", "-p", "Hi", *PLACEMENT)
        (spec,) = FakeLLM.loaded
        assert spec.model == {
            "main_gpu": 0,
            "split_mode": "row",
            "tensor_split": [3.0, 1.0],
            "n_gpu_layers": -2,
            "gpu_margin_mib": 100,
            "n_cpu_moe": -1,
            "tensor_overrides": ["a=CPU", "b=CPU"],
        }
        assert spec.context == {
            "offload_kqv": False,
            "kv_unified": False,
            "type_k": "q8_0",
            "type_v": "q4_0",
            "flash_attn": "on",
        }
        assert spec.engine == {"max_num_seqs": 32, "backend_sampling": "off"}

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--gpu-layers", "many"), "neither auto, all nor a number"),
            (("--gpu-layers", "-3"), "gpu_layers"),
            (("--tensor-split", "3;1"), "no list of numbers"),
            (("--split-mode", "diagonal"), "'diagonal'"),
            (("--cache-type-k", "q3"), "'q3'"),
            (("--flash-attn", "yes"), "'yes'"),
            (("--backend-sampling", "gpu"), "'gpu'"),
            (("--max-num-seqs", "0"), "max_num_seqs"),
            (("--device", "CUDA9"), "no device called CUDA9"),
            (("--gpu-backend", "rpc"), "gpu backend rpc is not in this build"),
        ],
    )
    def test_bad_placements_are_named(self, run: Run, arguments: tuple[str, ...], words: str) -> None:
        result = run("generate", "shimmy-mini", "-p", "Hi", *arguments)
        assert result.exit_code == 1
        assert words in result.stderr
        assert FakeLLM.loaded == []

    @pytest.mark.parametrize(
        ("arguments", "tune"), [([], "auto"), (["--tune", "OFF"], "off"), (["--tune", "on"], "on")]
    )
    def test_tuning_reaches_the_load(self, run: Run, arguments: list[str], tune: str) -> None:
        assert run("generate", "shimmy-mini", "-p", "Hi", *arguments).exit_code == 0
        assert FakeLLM.loaded[0].tune == tune

    def test_a_request_that_cannot_work_is_wrong_use(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FakeLLM, "broken", "generate")
        result = run("generate", "shimmy-mini", "-p", "Hi", "--temperature", "-1")
        assert (result.exit_code, result.stderr) == (1, "error: temperature must not be negative\n")

    @pytest.mark.parametrize("when", [EngineDeadError("it died"), OSError("no disk")])
    def test_a_failure_is_2(self, run: Run, monkeypatch: pytest.MonkeyPatch, when: Exception) -> None:
        def stream(*_: object, **__: object) -> None:
            raise when

        monkeypatch.setattr(FakeLLM, "stream", stream)
        result = run("generate", "shimmy-mini", "-p", "Hi")
        assert (result.exit_code, result.stderr) == (2, f"error: {when}\n")


class TestBench:
    def test_json(self, run: Run) -> None:
        report = json.loads(run("bench", "shimmy-mini", "--json", "--runs", "2").stdout)
        assert report["prefill_rate"] == pytest.approx(1000.0)
        assert report["decode_rate"] == pytest.approx(100.0)
        assert (report["prompt_tokens"], report["max_tokens"], report["runs"]) == (512, 64, 2)
        assert report["ttft_ms"] > 0
        assert report["peak_memory_bytes"] == pytest.approx(peak_memory(), rel=0.5)

    def test_every_run_has_another_prompt_of_the_length(self, run: Run) -> None:
        run("bench", "shimmy-mini", "--prompt-tokens", "100", "--max-tokens", "8")
        prompts = [prompt for prompt, _ in FakeLLM.calls]
        assert len(prompts) == 4
        assert {len(prompt) for prompt in prompts} == {100}
        assert len({prompt[0] for prompt in prompts}) == 4
        options = FakeLLM.calls[0][1]
        assert (options["max_tokens"], options["ignore_eos"], options["temperature"]) == (8, True, 0.0)

    def test_table(self, run: Run) -> None:
        result = run("bench", "shimmy-mini")
        assert result.exit_code == 0
        for words in ("prefill 512", "1000.0  tok/s", "decode 64", "time to first token", "peak memory"):
            assert words in result.stdout

    def test_more_than_the_context(self, run: Run) -> None:
        result = run("bench", "shimmy-mini", "--prompt-tokens", "1000")
        assert result.exit_code == 1
        assert "1000 prompt tokens and 64 new ones exceed the context of 1024" in result.stderr
