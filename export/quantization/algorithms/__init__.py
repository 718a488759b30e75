"""Quantization algorithms, from a float graph to integers: one file each."""
