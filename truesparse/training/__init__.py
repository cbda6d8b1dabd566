"""When things happen: configuration, training loop, run folders, checkpoints."""
