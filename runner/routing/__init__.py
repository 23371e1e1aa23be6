"""Who gets a message: pure."""
