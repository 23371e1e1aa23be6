"""Measurements: each module is run with `python -m bench.NAME` and writes `bench/results/NAME.json`."""
