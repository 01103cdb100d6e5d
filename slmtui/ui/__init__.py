"""The terminal app; nothing outside this package knows Textual."""
