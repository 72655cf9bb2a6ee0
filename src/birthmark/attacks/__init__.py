"""Thefts: one file an attack."""
