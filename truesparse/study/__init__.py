"""Grids of training runs: what is run, the results of each run, and what they come to together."""
