"""The HTTP server. It never imports the native extension: models live in runner processes."""
