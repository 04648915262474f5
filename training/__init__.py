"""Runs and model versions: started, watched, compared. Django half; the trainer itself is training.rlhf."""
