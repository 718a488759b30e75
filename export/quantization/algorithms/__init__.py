"""How a recipe rounds: one file per algorithm, from a float graph to integers."""
