"""See `spec` and what else is in this folder."""
