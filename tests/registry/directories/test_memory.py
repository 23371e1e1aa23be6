"""What is the embedded directory's own; what every directory owes is in `tests/contracts/test_directories.py`."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from registry.base.clock import ManualClock
from registry.directories.memory import MemoryDirectory
from tests.registry.build import registration

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def test_a_jump_of_wall_time_expires_nothing() -> None:
    clock = ManualClock()
    directory = MemoryDirectory(clock)
    run(directory.register(registration()))
    clock.jump(1e6)
    assert len(directory.snapshot("payment")) == 1


def test_time_that_goes_back_moves_no_version_and_no_position_back() -> None:
    clock = ManualClock()
    directory = MemoryDirectory(clock)
    run(directory.register(registration()))
    version, position = directory.version("payment"), directory.position()
    clock.jump(-1e6)
    run(directory.register(registration(weight=2)))
    assert directory.version("payment") > version
    (change,) = run(directory.changes(position, 1))
    assert change.index == directory.version("payment")


def test_a_directory_that_begins_anew_gives_no_version_again() -> None:
    clock = ManualClock()
    first = MemoryDirectory(clock)
    run(first.register(registration()))
    clock.advance(0.001)
    second = MemoryDirectory(clock)
    run(second.register(registration()))
    assert second.version("payment") > first.version("payment")
    assert [x.kind for x in run(second.changes(first.position(), 1))] == ["reset"]


def test_shortening_lives_again_and_again_does_not_grow_the_memory() -> None:
    clock = ManualClock()
    directory = MemoryDirectory(clock)
    for i in range(5_000):
        run_free = directory.register(registration(ttl=80_000.0 - i))
        with pytest.raises(StopIteration):
            run_free.send(None)
    assert len(directory._shelves._heap) < 200
    clock.advance(75_001)
    assert directory.snapshot("payment") == ()
