"""The zoo: cards -> models, content-addressed and resumable."""
