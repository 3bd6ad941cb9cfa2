"""The synthetic chat corpus behind Shimmy Mini, as an endless, seeded stream of training documents.

Everything the demo model knows is produced here, from the word lists in ``lexicon.py`` and a seeded random
generator; no external text is used. A conversation is a list of *blocks*; a block is one self-contained exchange
that exercises one skill. Every assistant message carries the data needed to score it, so the same code yields the
training text and the held-out evaluation cases.

Training and evaluation never share a block: each block has a key, and the keys whose CRC-32 is divisible by
``skills.source.HOLDOUT`` are reserved for evaluation.

Run ``python -m demo_model.corpus`` in ``tools/`` to print some conversations.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from .chat import STYLES
from .generator import Generator


def training_texts(seed: int, style: str = "plain") -> Iterator[str]:
    """An endless, seeded stream of training documents."""
    gen = Generator(seed)
    while True:
        yield gen.training_text(style)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print samples of the synthetic corpus.")
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--style", choices=STYLES, default="plain")
    args = parser.parse_args()
    texts = training_texts(args.seed, args.style)
    for _ in range(args.n):
        print(next(texts), end="\n" + "-" * 80 + "\n")


if __name__ == "__main__":
    main()
