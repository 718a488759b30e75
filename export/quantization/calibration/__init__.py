"""Calibration: activation ranges observed on images, clipped, saved."""
