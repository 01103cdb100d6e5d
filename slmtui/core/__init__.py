"""Values and pure functions; no input or output, standard library and msgspec only."""
