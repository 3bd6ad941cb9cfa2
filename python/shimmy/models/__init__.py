"""Models by name: the registry of what exists, and the manager of what is loaded."""
