"""Train the demo model, its draft model and its LoRA adapters on the synthetic corpus.

    python -m demo_model.train --out build     (in tools/)

Worker processes generate and pack the corpus while the GPU trains, so no data set is stored. Everything is bounded by
time: the learning rate follows the share of the given minutes that has passed. The weights are written in half
precision to ``weights-*.safetensors`` in the output folder, the scores to ``scores.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask

from . import tokenizer as tokenization
from .model import DRAFT, MAIN, TINY, Mask, Model
from .optimizer import Optimizer, schedule
from .shards import Corpus
from .torch_scores import agreement, evaluate_torch

HERE = Path(__file__).parent
LORA_RANK, LORA_ALPHA = 8, 16.0


class DocumentMask:
    """Causal attention inside each packed document: a FlexAttention mask on CUDA, a dense mask elsewhere."""

    def __init__(self, batch: int, width: int, device: str, flex: bool) -> None:
        ids = torch.zeros(batch, width, dtype=torch.int32, device=device)
        self.ids, self.flex = ids, flex
        if flex:

            def visible(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
                return (q >= k) & (ids[b, q] == ids[b, k])

            make = torch.compile(create_block_mask, dynamic=False)
            self._make = lambda: make(visible, batch, None, width, width, device=device)
        else:
            self._causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()

    def __call__(self, ids: Tensor) -> Mask:
        self.ids.copy_(ids)
        if self.flex:
            return self._make()
        return (ids[:, None, :, None] == ids[:, None, None, :]) & self._causal


Loss = Callable[[Tensor, Tensor, Tensor, Mask], Tensor]


def fit(
    label: str, corpus: Corpus, masks: DocumentMask, loss_fn: Loss, optimizer: Optimizer, minutes: float, flat: float
) -> dict[str, float]:
    """Train for the given time; the clock starts after the first (compiling) steps."""
    device = masks.ids.device
    cuda = device.type == "cuda"
    started = time.time()
    begin, step, tokens, progress = started, 0, 0, 0.0
    shown = torch.zeros((), device=device)
    for inputs, ids, labels, weight in corpus:
        mask = masks(ids)
        with torch.autocast(device.type, torch.bfloat16, enabled=cuda):
            loss = loss_fn(inputs, labels, weight, mask)
        loss.backward()
        optimizer.step(max(schedule(progress, flat), 1e-3))
        step += 1
        shown += loss.detach()
        if step == 2:
            if cuda:
                torch.cuda.synchronize()
            begin = time.time()
        elif step > 2:
            tokens += inputs.numel()
        if step % 8 == 0 and cuda:
            torch.cuda.synchronize()
        progress = (time.time() - begin) / (60 * minutes) if step > 2 else 0.0
        if step % 100 == 0 or progress >= 1:
            rate = tokens / max(time.time() - begin, 1e-9)
            every = 100 if step % 100 == 0 else step % 100
            print(f"{label} step {step} loss {shown.item() / every:.4f} tokens {tokens / 1e6:.0f}M {rate / 1e6:.2f}M/s "
                  f"waited {corpus.waited:.1f}s progress {progress:.2f}", flush=True)  # fmt: skip
            shown.zero_()
        if progress >= 1:
            break
    return {"steps": step, "tokens": tokens, "seconds": time.time() - begin, "compile_seconds": begin - started}


def cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    loss = functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none")
    weight = weight.flatten()
    return (loss * weight).sum() / weight.sum()


def distill(student: Tensor, teacher: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Half cross entropy, half divergence from the teacher."""
    log_p = functional.log_softmax(student.flatten(0, 1).float(), -1)
    q = functional.softmax(teacher.flatten(0, 1).float(), -1)
    soft = -(q * log_p).sum(-1)
    hard = -log_p.gather(1, labels.flatten()[:, None])[:, 0]
    weight = weight.flatten()
    return ((0.5 * soft + 0.5 * hard) * weight).sum() / weight.sum()


def compiled(model: Model, on: bool) -> None:
    """Compile the layers one by one: they share one compiled graph."""
    if on:
        for block in model.blk:
            block.compile(dynamic=False)


def half(model: Model) -> None:
    """Round the weights to half precision, the precision in which they are stored."""
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.half().float())


def save(tensors: dict[str, Tensor], out: Path, prefix: str, limit: int = 15 * 2**20) -> None:
    """Write tensors in half precision (norms in single) to files of bounded size."""
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, t in tensors.items():
        t = t.detach().cpu().contiguous()
        t = t.half() if t.dim() == 2 else t.float()
        if size + t.nbytes > limit:
            parts.append({})
            size = 0
        parts[-1][name] = t
        size += t.nbytes
    for i, part in enumerate(parts):
        save_file(part, out / f"weights-{prefix}-{i}.safetensors")


def load(model: nn.Module, folder: Path | None, prefix: str) -> bool:
    """Read weights that ``save`` wrote, if there are any; says whether there were."""
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob(f"weights-{prefix}-*.safetensors")) if folder else []:
        tensors |= load_file(path)
    model.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
    return bool(tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, default=HERE / "tokenizer.json")
    parser.add_argument("--out", type=Path, default=Path("build"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, nargs=3, default=(6.0, 1.0, 0.5), metavar=("MAIN", "DRAFT", "LORA"))
    parser.add_argument("--batch", type=int, default=64, help="rows of 2048 tokens per step")
    parser.add_argument("--shards", type=int, default=150, help="shards of 2M tokens of the main corpus")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 3))
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=0.003)
    parser.add_argument("--lora-lr", type=float, default=0.002)
    parser.add_argument("--cases", type=int, default=100, help="evaluation cases per skill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true", help="a toy configuration to try the code on a CPU")
    parser.add_argument("--no-flex", action="store_true")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--stages", default="main,draft,lora")
    parser.add_argument("--init", type=Path, help="folder with weights to start from")
    parser.add_argument("--flat", type=float, default=0.35, help="share of the time before the learning rate decays")
    args = parser.parse_args()
    t0 = time.time()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    torch._dynamo.config.recompile_limit = 64
    cuda = args.device == "cuda"
    compile_on = cuda and not args.no_compile
    width = 256 if args.tiny else MAIN.context
    rows = 64 if args.tiny else 1024
    stages = args.stages.split(",")
    tok = tokenization.load(args.tokenizer)
    report: dict[str, object] = {"config": MAIN.as_dict()}

    def corpus(style: str, shards: int) -> Corpus:
        return Corpus(str(args.tokenizer), style, shards, args.workers, args.batch, width, args.device, rows)

    def note(key: str, value: object) -> None:
        report[key] = value
        print(f"[{time.time() - t0:.0f}s] {key}: {json.dumps(value)}", flush=True)
        (args.out / "scores.json").write_text(json.dumps(report, indent=1))

    data = corpus("plain", args.shards)
    masks = DocumentMask(args.batch, width, args.device, flex=cuda and not args.no_flex)
    model = Model(TINY if args.tiny else MAIN).to(args.device)
    compiled(model, compile_on)
    ce = torch.compile(cross_entropy, dynamic=False) if compile_on else cross_entropy
    kd = torch.compile(distill, dynamic=False) if compile_on else distill
    note("parameters", sum(p.numel() for p in model.parameters()))

    def lm_loss(inputs: Tensor, labels: Tensor, weight: Tensor, mask: Mask) -> Tensor:
        return ce(model.logits(model(inputs, mask)), labels, weight)

    load(model, args.init, "main")
    if "main" in stages:
        optimizer = Optimizer(list(model.named_parameters()), args.muon_lr, args.adam_lr)
        note("main", fit("main", data, masks, lm_loss, optimizer, args.minutes[0], args.flat))
        half(model)
        save(dict(model.named_parameters()), args.out, "main")
        if args.cases:
            note("scores", evaluate_torch(model, tok, args.cases))

    if "draft" in stages:
        draft = Model(TINY if args.tiny else DRAFT).to(args.device)
        load(draft, args.init, "draft")
        compiled(draft, compile_on)

        def draft_loss(inputs: Tensor, labels: Tensor, weight: Tensor, mask: Mask) -> Tensor:
            with torch.no_grad():
                teacher = model.logits(model(inputs, mask))
            return kd(draft.logits(draft(inputs, mask)), teacher, labels, weight)

        optimizer = Optimizer(list(draft.named_parameters()), args.muon_lr, args.adam_lr)
        note("draft", fit("draft", data, masks, draft_loss, optimizer, args.minutes[1], args.flat))
        half(draft)
        save(dict(draft.named_parameters()), args.out, "draft")
        if args.cases:
            note("draft_agreement", agreement(model, draft, tok, args.cases))
    data.close()

    if "lora" in stages:
        params = model.add_lora(LORA_RANK, LORA_ALPHA)
        for style in ("pirate", "terse"):
            data = corpus(style, 24)
            for layer in model.lora_layers():
                layer.reset()
            load(model, args.init, style)
            named = [(f"lora.{i}", p) for i, p in enumerate(params)]
            optimizer = Optimizer(named, args.muon_lr, args.lora_lr)
            note(f"lora_{style}", fit(style, data, masks, lm_loss, optimizer, args.minutes[2], args.flat))
            data.close()
            half(model)
            save({n: p for n, p in model.named_parameters() if "lora" in n}, args.out, style)
            if args.cases:
                note(f"scores_{style}", evaluate_torch(model, tok, max(1, args.cases // 3), style))
    print(f"done in {time.time() - t0:.0f}s")


if __name__ == "__main__":
    main()
