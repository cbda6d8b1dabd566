"""What a layer is and computes: a folder for each, and a registry."""
