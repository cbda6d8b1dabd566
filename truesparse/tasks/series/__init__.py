"""Telling something of sequences of numbers, or of each of their steps."""
