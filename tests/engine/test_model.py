"""Model: what is known of a loaded file, how loading is watched and stopped, and who keeps it alive."""

from __future__ import annotations

import gc
import os
import shutil
import weakref
from pathlib import Path

import gguf
import numpy as np
import pytest
from token_loop import GOLDEN, PROMPT, batch_of, golden, open_context, prefill

from gguf_corpus import Gguf, string, write
from shimmy import _core, demo_adapter_paths, demo_model_path
from shimmy._core import Context, KVCache, LoraAdapter, Model, ModelParams, Sampler, SamplingParams, Tokenizer
from shimmy.errors import InvalidRequestError, ModelLoadError

PATH = demo_model_path()
NUMBERS = ["n_ctx_train", "n_embd", "n_layer", "n_head", "n_head_kv", "n_vocab", "n_swa"]


def test_what_the_demo_model_is(model: Model) -> None:
    assert {name: getattr(model, name) for name in NUMBERS} == {
        "n_ctx_train": 2048, "n_embd": 256, "n_layer": 10, "n_head": 4, "n_head_kv": 2, "n_vocab": 4096, "n_swa": 0,
    }  # fmt: skip
    assert (model.architecture, model.path) == ("llama", str(PATH))
    assert model.n_params == 10_884_352
    assert 10e6 < model.size_bytes < PATH.stat().st_size
    assert (model.has_encoder, model.has_decoder, model.is_recurrent) == (False, True, False)
    assert "<|im_start|>" in (model.chat_template or "")
    assert model.description.startswith("llama")
    assert repr(model) == f"Model({PATH}: {model.description})"


def test_metadata_is_the_files_scalars(model: Model) -> None:
    fields = gguf.GGUFReader(PATH).fields
    scalars = {
        name: field.contents()
        for name, field in fields.items()
        if not name.startswith("GGUF.") and field.types[0] != gguf.GGUFValueType.ARRAY
    }
    assert model.metadata.keys() == scalars.keys()
    for name, value in scalars.items():
        text = model.metadata[name]
        if isinstance(value, float):
            assert float(text) == pytest.approx(value, abs=1e-6)
        else:
            assert text == (str(value).lower() if isinstance(value, bool) else str(value))


def test_progress_rises_from_0_to_1() -> None:
    seen: list[float] = []
    Model(str(PATH), progress=seen.append)
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert len(seen) > 2
    assert seen == sorted(seen)


@pytest.mark.parametrize("calls", [1, 5])
def test_progress_false_stops_the_load(calls: int) -> None:
    seen: list[float] = []

    def stop(fraction: float) -> bool:
        seen.append(fraction)
        return len(seen) < calls

    with pytest.raises(ModelLoadError, match="stopped by the progress callback"):
        Model(str(PATH), progress=stop)
    assert len(seen) == calls


@pytest.mark.parametrize("answer", [None, True, 0, "", 1])
def test_only_false_stops_the_load(answer: object) -> None:
    assert Model(str(PATH), progress=lambda _: answer).n_vocab == 4096


@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_of_progress_passes_through_unchanged(error: BaseException) -> None:
    def fail(fraction: float) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        Model(str(PATH), progress=fail)
    assert caught.value is error


def test_progress_must_be_callable() -> None:
    with pytest.raises(TypeError, match="progress must be callable"):
        Model(str(PATH), progress=5)


def test_vocab_only_tokenizes_and_knows_its_numbers(model: Model, tok: Tokenizer) -> None:
    vocabulary = Model(str(PATH), ModelParams(vocab_only=True))
    assert [getattr(vocabulary, name) for name in NUMBERS] == [getattr(model, name) for name in NUMBERS]
    assert vocabulary.metadata == model.metadata
    assert vocabulary.chat_template == model.chat_template
    assert Tokenizer(vocabulary).encode("Who are you?") == tok.encode("Who are you?")
    row = np.zeros(model.n_vocab, np.float32)
    row[7] = 1
    repeated = Sampler(Tokenizer(vocabulary), SamplingParams(temperature=0, repeat_penalty=3.0, repeat_last_n=-1))
    repeated.accept(7)
    row[8] = 0.5
    assert repeated.sample(row) == 8
    with pytest.raises(InvalidRequestError, match="loaded with vocab_only"):
        Context(vocabulary)
    with pytest.raises(InvalidRequestError, match="loaded with vocab_only"):
        LoraAdapter(vocabulary, demo_adapter_paths()["pirate"])


@pytest.mark.parametrize("params", [{"use_mmap": False}, {"use_extra_bufts": False}, {"check_tensors": True}])
def test_ways_of_loading_give_the_same_answer(params: dict[str, bool]) -> None:
    assert golden(open_context(Model(str(PATH), ModelParams(**params)))) == GOLDEN


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"devices": ["GPU77"]}, "devices"),
        ({"split_mode": "diagonal"}, "split_mode"),
        ({"main_gpu": -1}, "main_gpu"),
        ({"main_gpu": 16}, "main_gpu"),
        ({"n_gpu_layers": -3}, "n_gpu_layers"),
        ({"n_gpu_layers": 2000}, "n_gpu_layers"),
        ({"n_cpu_moe": -2}, "n_cpu_moe"),
        ({"n_cpu_moe": 2000}, "n_cpu_moe"),
        ({"tensor_overrides": ["exps"]}, "tensor_overrides"),
        ({"tensor_overrides": ["=CPU"]}, "tensor_overrides"),
        ({"tensor_overrides": ["(=CPU"]}, "tensor_overrides"),
        ({"tensor_overrides": ["exps=GPU77"]}, "tensor_overrides"),
        ({"tensor_overrides": ["x" * 600 + "=CPU"]}, "tensor_overrides"),
        ({"tensor_overrides": ["exps=CPU"] * 257}, "tensor_overrides"),
        ({"tensor_split": [1.0] * 1000}, "tensor_split"),
        ({"tensor_split": [-1.0]}, "tensor_split"),
        ({"tensor_split": [float("nan")]}, "tensor_split"),
    ],
)
def test_bad_parameters_name_themselves(params: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Model(str(PATH), ModelParams(**params))
    assert caught.value.param == param


def test_rpc_servers_need_their_backend() -> None:
    if "RPC" in _core.build_info()["backends"]:
        pytest.skip("this build has it")
    with pytest.raises(ModelLoadError, match="SHIMMY_RPC=ON"):
        Model(str(PATH), ModelParams(rpc_servers=["localhost:1"]))


def test_the_cpu_is_no_device_to_move_layers_to() -> None:
    loaded = Model(str(PATH), ModelParams(devices=["CPU"]))
    assert (loaded.devices, loaded.offloaded_layers, loaded.partly_offloaded_layers) == ([], 0, 0)


def test_weights_that_are_told_to_stay_with_the_cpu_do() -> None:
    params = ModelParams(tensor_overrides=[r"blk\.1\.=CPU"], n_cpu_moe=-1)
    assert golden(open_context(Model(str(PATH), params))) == GOLDEN


def test_paths_of_any_kind(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff \xf0\x9f\xa6\x8a.gguf"
    shutil.copy(PATH, odd)
    for path in (PATH, str(PATH), os.fsencode(PATH), odd, os.fsdecode(odd)):
        loaded = Model(path, ModelParams(vocab_only=True))
        assert os.fsencode(loaded.path) == os.fsencode(path)
        assert "Model(" in repr(loaded)
    with pytest.raises(InvalidRequestError, match="NUL"):
        Model(f"{PATH}\0.gguf")
    with pytest.raises(ModelLoadError, match="does not exist"):
        Model(b"/nowhere/\xff.gguf")
    for path in (None, 5, ["a"]):
        with pytest.raises(TypeError):
            Model(path)  # type: ignore[arg-type]


def test_metadata_that_is_no_utf8_is_replaced(tmp_path: Path) -> None:
    file = Gguf.read(PATH)
    file.set("general.name", string(b"a\xffb" + b"x" * 5000))
    loaded = Model(write(file, tmp_path / "name.gguf"), ModelParams(vocab_only=True))
    assert loaded.metadata["general.name"] == "a\N{REPLACEMENT CHARACTER}b" + "x" * 5000


@pytest.mark.parametrize("pre", ["gpt-4o", "tekken", "deepseek-v3", "llama-bpe", "gpt-2"])
def test_no_pre_tokenizer_overflows_the_stack(tmp_path: Path, pre: str) -> None:
    file = Gguf.read(PATH)
    file.set("tokenizer.ggml.pre", string(pre))
    tokenizer = Tokenizer(Model(write(file, tmp_path / f"{pre}.gguf"), ModelParams(vocab_only=True)))
    text = "a" * 30_000 + " " * 30_000
    assert tokenizer.decode(tokenizer.encode(text, add_special=False)) == text


def test_a_split_model_loads_from_its_first_part(tmp_path: Path) -> None:
    reader = gguf.GGUFReader(PATH)
    writer = gguf.GGUFWriter(tmp_path / "parts.gguf", "llama", split_max_tensors=40)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        writer.add_key_value(
            name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        )
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    parts = sorted(tmp_path.glob("parts-*.gguf"))
    assert len(parts) > 1
    assert golden(open_context(Model(parts[0]))) == GOLDEN
    parts[-1].unlink()
    with pytest.raises(ModelLoadError, match=parts[-1].name):
        Model(parts[0])


def test_users_keep_their_model_alive() -> None:
    model = Model(PATH)
    gone = weakref.ref(model)
    adapter = LoraAdapter(model, demo_adapter_paths()["pirate"])
    context = open_context(model)
    tokenizer = Tokenizer(model)
    sampler = Sampler(tokenizer, SamplingParams(temperature=0.0, repeat_penalty=1.5))
    detokenizer = _core.Detokenizer(tokenizer)
    cache: KVCache = context.kv_cache
    context.set_adapters([(adapter, 0.0)])
    logits = prefill(context, PROMPT)
    del model, adapter, tokenizer
    gc.collect()
    assert gone() is None, "Python lets go of it, the native objects do not"
    assert golden(open_context(context.model)) == GOLDEN
    token = sampler.sample(logits)
    sampler.accept(token)
    text = detokenizer.push(token)
    assert text
    assert GOLDEN.startswith(text)
    del context
    gc.collect()
    assert cache.seq_pos_max(0) == len(PROMPT) - 1
    assert cache.seq_rm(0)


def test_an_adapter_in_use_outlives_its_name(model: Model, pirate: LoraAdapter) -> None:
    context = open_context()
    context.set_adapters([(LoraAdapter(model, demo_adapter_paths()["pirate"]), 1.0)])
    gc.collect()
    with_temporary = prefill(context, PROMPT)
    reference = open_context()
    reference.set_adapters([(pirate, 1.0)])
    assert (with_temporary == prefill(reference, PROMPT)).all()


def test_an_object_made_from_a_deleted_parent_works() -> None:
    context = open_context(Model(PATH))
    gc.collect()
    assert context.decode(batch_of([1, 2, 3])) == _core.DecodeStatus.OK
    assert context.model.n_vocab == 4096
