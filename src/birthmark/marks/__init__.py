"""What keyed marks are made of.

Secrets and clients' keys, smooth keyed fields, and keyrings that were checked against the owner's own models.
"""
