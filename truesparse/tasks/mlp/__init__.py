"""Learning from rows of a table and from images, with feed-forward nets."""
