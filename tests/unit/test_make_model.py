"""bench/make_model.py: block layouts, shapes, tokenizer and determinism of the random models."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """The modules under test, which live outside the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        names = ("make_model", "random_blocks", "random_vocabulary")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q2_K", "Q4_K", "Q6_K", "F16", "BF16"])
@pytest.mark.parametrize("std", [1.0, 1024**-0.5, 14336**-0.5])
def test_blocks_dequantize_to_the_intended_spread(bench: SimpleNamespace, kind: str, std: float) -> None:
    columns = 2048
    raw = bench.random_blocks.random_matrix(bench.random_blocks.ByteSource(3), kind, 128, columns, std)
    values = gguf.dequantize(raw, gguf.GGMLQuantizationType[kind])
    assert values.shape == (128, columns)
    assert np.isfinite(values).all()
    assert values.std() == pytest.approx(std, rel=0.05)
    assert abs(values.mean()) < 0.01 * std
    # No column or row stands out: the spread is that of every part.
    assert values.std(axis=1) == pytest.approx(np.full(128, std), rel=0.2)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q2_K", "Q4_K", "Q6_K", "F16", "BF16"])
def test_slices_do_not_repeat(bench: SimpleNamespace, kind: str) -> None:
    raw = bench.random_blocks.random_matrix(bench.random_blocks.ByteSource(1), kind, 64, 1024, 1.0)
    assert len(np.unique(raw, axis=0)) == 64


def test_row_that_is_no_whole_number_of_blocks_is_refused(bench: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="Q4_K needs rows of a multiple of 256 values, not 320"):
        bench.random_blocks.random_matrix(bench.random_blocks.ByteSource(0), "Q4_K", 2, 320, 1.0)


@pytest.mark.parametrize(("family", "size"), [("QWEN", 4096), ("QWEN", 151936), ("LLAMA3", 128256), ("LLAMA3", 2100)])
def test_vocabulary_is_complete_and_unique(bench: SimpleNamespace, family: str, size: int) -> None:
    module = bench.random_vocabulary
    chosen = getattr(module, family)
    vocabulary = module.build_vocabulary(chosen, size)
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == len(vocabulary.types) == size
    assert vocabulary.tokens[:256] == module.byte_alphabet()
    assert len(set(module.byte_alphabet())) == 256
    ids = {token: i for i, token in enumerate(vocabulary.tokens)}
    for merge in vocabulary.merges:
        left, right = merge.split(" ")
        assert left in ids and right in ids and left + right in ids
    for token in chosen.specials:
        assert vocabulary.types[ids[token]] == gguf.TokenType.CONTROL
    if size > 100_000:
        assert ids[chosen.specials[0]] == chosen.first_special


def test_vocabulary_below_the_real_words_is_refused(bench: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match=r"at least \d+ tokens, not 100"):
        bench.random_vocabulary.build_vocabulary(bench.random_vocabulary.QWEN, 100)


@pytest.mark.parametrize("type_name", ["q4_k_m", "q8_0", "q4_0", "q2_k", "q4_k", "q6_k", "bf16", "f16"])
def test_written_file_reads_back(bench: SimpleNamespace, tmp_path: Path, type_name: str) -> None:
    path = tmp_path / "tiny.gguf"
    bench.make_model.write_model(path, "tiny", type_name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny.gguf"]
    reader = gguf.GGUFReader(path)
    assert reader.fields["general.architecture"].contents() == "qwen3"
    assert len(reader.fields["tokenizer.ggml.tokens"].contents()) == 4096
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    for tensor in tensors.values():
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert np.isfinite(values).all()
        expected = 0.0 if "norm" in tensor.name else int(tensor.shape[0]) ** -0.5
        assert values.std() == pytest.approx(expected, rel=0.2)
    wanted = {name: kind for name, _, _, kind in bench.make_model.matrices(bench.make_model.SHAPES["tiny"], type_name)}
    assert {name: tensors[name].tensor_type.name for name in wanted} == wanted


def test_q4_k_m_mix_is_that_of_llama_quantize(bench: SimpleNamespace) -> None:
    finer = [i for i in range(28) if bench.make_model.use_more_bits(i, 28)]
    assert finer == [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]
    kinds = {name: kind for name, _, _, kind in bench.make_model.matrices(bench.make_model.SHAPES["8b"], "q4_k_m")}
    assert (kinds["token_embd.weight"], kinds["output.weight"]) == ("Q4_K", "Q6_K")
    assert (kinds["blk.0.attn_v.weight"], kinds["blk.4.ffn_down.weight"]) == ("Q6_K", "Q4_K")
    assert kinds["blk.0.attn_q.weight"] == kinds["blk.0.attn_output.weight"] == "Q4_K"


@pytest.mark.parametrize(("shape", "billions"), [("0.6b", 0.596), ("1b", 1.236), ("8b", 8.03)])
def test_shapes_have_the_real_number_of_parameters(bench: SimpleNamespace, shape: str, billions: float) -> None:
    rows = bench.make_model.matrices(bench.make_model.SHAPES[shape], "q8_0")
    assert sum(r * c for _, r, c, _ in rows) / 1e9 == pytest.approx(billions, rel=0.001)


def test_rope_factors_run_from_one_to_the_scaling(bench: SimpleNamespace) -> None:
    factors = bench.make_model.rope_factors(bench.make_model.SHAPES["8b"])
    assert factors.shape == (64,)
    assert factors[0] == 1.0 and factors[-1] == 8.0
    assert (np.diff(factors) >= 0).all()


def test_same_seed_same_file(bench: SimpleNamespace, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.gguf", "b.gguf", "c.gguf")]
    for path, seed in zip(paths, (7, 7, 8), strict=True):
        bench.make_model.write_model(path, "tiny", "q4_k_m", seed)
    first, same, other = (path.read_bytes() for path in paths)
    assert first == same
    assert first != other and len(first) == len(other)


def test_command_line(bench: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "models" / "tiny.gguf"
    monkeypatch.setattr(sys, "argv", ["make_model.py", "--shape", "tiny", "--type", "q4_0", "--out", str(out)])
    assert bench.make_model.main() == 0
    assert out.is_file()
    blocked = out / "under-a-file.gguf"
    monkeypatch.setattr(sys, "argv", ["make_model.py", "--shape", "tiny", "--type", "q4_0", "--out", str(blocked)])
    assert bench.make_model.main() == 1
    assert "cannot write" in capsys.readouterr().err
