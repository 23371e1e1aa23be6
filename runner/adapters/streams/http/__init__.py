"""Calls over HTTP: one attempt at a time, and what became of it as a value.

`HttpSink` is the door. Plain http goes through a lean client of our own (`plain`, `connection`), https
through aiohttp (`secure`), both rendered by `wire`, bounded by `gate` and kept to the permitted addresses by
`networks`.
"""

from runner.adapters.streams.http.sink import HttpSink

__all__ = ["HttpSink"]
