"""TODO optim."""
