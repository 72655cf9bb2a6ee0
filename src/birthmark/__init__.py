"""birthmark: prove that a neural network was derived from yours, and never accuse one that was not."""

__version__ = "0.1.0"
