"""Where messages come from and where calls go: a folder for each kind of stream."""
