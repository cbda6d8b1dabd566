"""The best sparse language model against the best dense one of PyTorch, for a budget of training time."""
