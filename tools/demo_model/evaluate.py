"""Score the demo model on held-out cases, through PyTorch and through llama.cpp (run in ``tools/``).

python -m demo_model.evaluate MODEL.gguf                               # PyTorch, from the GGUF file itself
python -m demo_model.evaluate MODEL.gguf --server path/to/llama-server # and llama.cpp; compares the greedy texts
python -m demo_model.evaluate MODEL.gguf --lora PIRATE.gguf --style pirate
python -m demo_model.evaluate MODEL.gguf --draft DRAFT.gguf            # agreement of the draft model
python -m demo_model.evaluate MODEL.gguf --server path/to/llama-server --no-torch   # needs only the standard library
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .chat import STYLES
from .heldout import eval_cases
from .llama_server import LlamaServer
from .scoring import correct, effect, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokenizer", type=Path, default=Path(__file__).with_name("tokenizer.json"))
    parser.add_argument("--server", type=Path, help="llama-server binary; without it only PyTorch is used")
    parser.add_argument("--lora", type=Path)
    parser.add_argument("--draft", type=Path)
    parser.add_argument("--style", choices=STYLES, default="plain")
    parser.add_argument("--cases", type=int, default=50, help="cases per skill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failures", type=int, default=0, help="print this many failures per skill")
    parser.add_argument("--no-torch", action="store_true", help="only use llama.cpp")
    args = parser.parse_args()
    cases = eval_cases(args.cases, args.seed, args.style)
    prompts = [c.prompt for c in cases]
    results: dict[str, list[str]] = {}
    if not args.no_torch:
        from . import tokenizer as tokenization
        from .torch_scores import agreement, complete, load_gguf

        tok = tokenization.load(args.tokenizer)
        model = load_gguf(args.model, args.lora)
        results["PyTorch"] = complete(model, tok, prompts)
        if args.draft:
            print("draft agreement", json.dumps(agreement(model, load_gguf(args.draft), tok, args.cases)))
    if args.server:
        server = LlamaServer(args.server, args.model, ["--lora", str(args.lora)] if args.lora else [])
        try:
            results["llama.cpp"] = server.complete(prompts)
        finally:
            server.close()
    for name, texts in results.items():
        print(name, json.dumps(table(cases, texts)))
        if args.style != "plain":
            print(f"{name}: {effect(args.style, cases, texts)}% of the prose answers are in the {args.style} style")
        shown: dict[str, int] = {}
        for case, text in zip(cases, texts, strict=True):
            if not correct(case, text) and shown.setdefault(case.skill, 0) < args.failures:
                shown[case.skill] += 1
                print(f"--- {case.skill}\n{case.prompt[-400:]}\n    expected {case.answer!r}\n    got      {text!r}")
    if len(results) == 2:
        same = sum(a.strip() == b.strip() for a, b in zip(*results.values(), strict=True))
        print(f"same greedy text: {same} of {len(cases)} ({100 * same / len(cases):.1f}%)")


if __name__ == "__main__":
    main()
