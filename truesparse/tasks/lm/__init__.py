"""Predicting the next token of a text."""
