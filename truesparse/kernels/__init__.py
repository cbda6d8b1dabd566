"""Jitted kernels: arrays in, arrays out."""
