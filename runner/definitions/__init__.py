"""Definitions: from YAML text to checked sagas, with every error of every file in one go."""
