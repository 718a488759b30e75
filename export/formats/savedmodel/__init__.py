"""TODO savedmodel."""
