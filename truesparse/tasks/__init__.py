"""What is learned: a folder for each task, with its settings and flags, its data and measures."""
