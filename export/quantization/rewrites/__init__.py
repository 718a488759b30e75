"""TODO rewrites."""
