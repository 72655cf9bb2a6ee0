"""What keyed marks are made of: secrets and clients' keys, smooth keyed fields, and keyrings that were checked against the owner's own models."""
