"""Graphs with the same answers that round better: outliers split off or rotated."""
