"""The registry beside bare programs on the same server, and by itself: `python -m bench.registry`."""
