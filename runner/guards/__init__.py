"""May this message pass: pure."""
