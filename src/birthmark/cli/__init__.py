"""The command line. `commands` holds the main ones, `bench` and `gateway` theirs.

The others print, count and demonstrate.
"""
