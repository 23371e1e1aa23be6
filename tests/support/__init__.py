"""Things that tests of several folders lean on; one noun, one module."""
