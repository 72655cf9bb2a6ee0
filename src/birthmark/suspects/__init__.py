"""How a suspect is described, which dialects a prediction API may speak, and programs that may be run without running their code."""
