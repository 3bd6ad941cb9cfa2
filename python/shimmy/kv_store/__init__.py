"""The prefix cache on disk: what prompts have in common, kept over the end of a model's process."""
