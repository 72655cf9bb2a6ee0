"""What attacks share; left of `attacks/`, whose files never import each other."""
