"""What gradients do: losses, optimisers, their schedules, and when to stop early.

Knows weights and steps; data, devices and files of a run belong to other rooms.
"""
