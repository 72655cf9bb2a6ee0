"""Fingerprint methods: one paper, one file."""
