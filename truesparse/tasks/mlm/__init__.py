"""Telling tokens of a text that are hidden."""
