"""Conversion of a Keras model to a float32 file, which every recipe starts from."""
