"""Adapters: one folder for each thing outside; they know products and the ports, and never each other."""
