"""Validation and calibration images with labels, from arrays, batches or folders."""
