"""Reusable widgets: values in, messages out."""
