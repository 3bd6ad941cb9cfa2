"""What acts around a model: tools that can be called by name, and workflows of steps. Nothing here is native."""
