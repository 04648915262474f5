"""Template tags and filters of the labelling side."""
