"""Telling to which class a text belongs."""
