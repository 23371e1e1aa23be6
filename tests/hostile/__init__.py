"""Callers, services and answers that mean no good, or are broken."""
