"""Saga Runner: business transactions as YAML, run and undone."""
