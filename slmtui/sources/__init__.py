"""Readers of the outside world: machine, files, store. They return core values."""
