"""Implementations of `registry.directory.Directory`."""
