"""Logging of a run: history and TensorBoard, progress, plots."""
