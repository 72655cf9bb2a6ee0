"""Watermarks of API answers: one paper, one file."""
