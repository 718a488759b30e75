"""Exported files in their runtimes: opened, called, timed, their answers compared."""
