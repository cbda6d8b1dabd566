"""The recurrence of gated recurrent units: where the reset gate comes after the product, and before."""
