"""How the embedded demo model is made: a synthetic corpus, a small Llama, its training, export and evaluation."""
