"""What travels over HTTP, as msgspec structs: null means absent, unknown fields are ignored."""
