"""TODO logging."""
