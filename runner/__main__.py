"""`python -m runner` is `saga`."""

from runner.cli import main

main(prog_name="saga")
