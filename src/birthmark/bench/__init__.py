"""The bench: plans x methods -> records -> tables."""
