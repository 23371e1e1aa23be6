"""The composition root, the only place that names two products: `wiring` makes a runner, `commands` serve it."""

from runner.app.wiring import Runner, load_definitions, refused_by_reach, runner

__all__ = ["Runner", "load_definitions", "refused_by_reach", "runner"]
