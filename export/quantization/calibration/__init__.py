"""Ranges of activations: observed on calibration images, clipped, saved."""
