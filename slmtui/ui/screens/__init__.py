"""One screen a module, each with its styles beside it."""
