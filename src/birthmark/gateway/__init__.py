"""The gateway: a reverse proxy that marks what a prediction API answers, and keeps a log fit for evidence."""
