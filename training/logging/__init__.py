"""The numbers of a run: written as a table, shown as progress, drawn as pictures."""
