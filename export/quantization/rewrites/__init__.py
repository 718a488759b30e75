"""Graph rewrites with equal outputs that quantize better."""
