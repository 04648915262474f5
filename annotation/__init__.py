"""People judge answers. This package knows nothing of training."""
