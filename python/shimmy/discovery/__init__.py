"""Which models lie on disk: GGUF files to `LocalModel` records, in pure Python."""
