"""Chat templates for models that bring none, one Jinja file per family."""
