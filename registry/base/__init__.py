"""Ground both houses stand on. It imports nothing of ours."""
