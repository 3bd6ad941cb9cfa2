"""Which settings run a model fastest on this machine: measured by `shimmy tune`, stored, applied when it is loaded."""
