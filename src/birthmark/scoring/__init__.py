"""Pure NumPy statistics that methods score with, and the doubts that `verify` has about answers."""
