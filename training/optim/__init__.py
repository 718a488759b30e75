"""Optimisation: losses, metrics, optimisers, learning rate schedules.

Knows weights and steps; data, devices and files of a run belong to other rooms.
"""
