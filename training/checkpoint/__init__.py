"""The state of a run: written between steps, kept in its folder, and gone on from."""
