"""The tuning loop, objectives, optimiser and checkpoints."""
