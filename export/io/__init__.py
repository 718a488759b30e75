"""Inputs and outputs of exported files: names, shapes, dtypes, signatures, adapters."""
