"""Comparison of an exported file with the Keras model over a validation set."""
