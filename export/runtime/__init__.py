"""Exported files in their runtimes: loaded, run, timed, compared."""
