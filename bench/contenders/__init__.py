"""Everyone who can be compared, by name."""

from __future__ import annotations

from contenders.llama_bench import LlamaBench
from contenders.llama_server import LlamaServer
from contenders.python_servers import LlamaCppPython, Xllamacpp
from contenders.shimmy_engine import ShimmyEngine
from contenders.shimmy_server import ShimmyServer
from contenders.target import Contender

# Drafts as short as ours: upstream's default needs a match of 12 tokens and drafts 48.
_NGRAM_SIMPLE = ("--spec-type", "ngram-simple", "--spec-ngram-simple-size-n")

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        ShimmyServer(),
        ShimmyServer("shimmy --no-kv-unified", ("--no-kv-unified", "--max-num-seqs", "64")),
        ShimmyEngine(),
        ShimmyEngine("shimmy engine, speculation", speculation=True),
        ShimmyEngine("shimmy engine, no speculation", speculation=False),
        LlamaServer(),
        LlamaServer("llama-server tuned", ("-np", "8", "-b", "512", "-kvu")),
        LlamaServer("llama-server 64 slots", ("-np", "64")),
        LlamaServer("llama-server --spec-default", ("--spec-default",), "--spec-default"),
        LlamaServer(
            "llama-server ngram-simple", (*_NGRAM_SIMPLE, "4", "--spec-ngram-simple-size-m", "8"), _NGRAM_SIMPLE[0]
        ),
        LlamaBench(),
        LlamaCppPython(),
        LlamaCppPython("llama-cpp-python, in turn", ("--interrupt_requests", "false")),
        Xllamacpp(),
    )
}
