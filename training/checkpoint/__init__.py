"""Checkpoints of a run: its state, written between steps, and resumed from."""
