"""TODO qat."""
