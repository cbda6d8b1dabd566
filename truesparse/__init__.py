"""Truly sparse training of recurrent networks on ordinary CPUs."""

__version__ = "0.1.0"
