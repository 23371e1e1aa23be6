"""The life of one simulated runner: alive, paused (its lease may run out meanwhile) or dead.

A kill is no cancellation: nothing that a dead runner waits for ever comes. A paused one goes on later, in the middle
of whatever it did, and may be a zombie by then.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random

from runner.ports import Journals
from tests.support.sim_chronicle import Chronicle
from tests.support.sim_shelf import Shelf

ALIVE, PAUSED, DEAD = "alive", "paused", "dead"


@dataclass(slots=True, kw_only=True, eq=False)
class Life:
    """Whether a runner's ports answer."""

    owner: str
    shelf: Shelf
    #: Set by `open`.
    store: Journals = field(init=False)
    state: str = ALIVE
    #: Set when it dies, so that an heir is started.
    died: asyncio.Event = field(default_factory=asyncio.Event)
    _held: list[asyncio.Future[None]] = field(default_factory=list)

    async def open(self) -> None:
        self.store = await self.shelf.open(self.owner)

    async def gate(self) -> None:
        """Passes while it lives, holds while it is paused, and for ever once it is dead."""
        while self.state != ALIVE:
            held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._held.append(held)
            await held

    def kill(self) -> None:
        self.state = DEAD
        self.died.set()

    def pause(self) -> None:
        self.state = PAUSED

    def resume(self) -> None:
        """Goes on; its next beat makes it one of the living again."""
        if self.state != PAUSED:
            return
        self.state = ALIVE
        self.shelf.regain(self.owner)
        held, self._held = self._held, []
        for one in held:
            if not one.done():
                one.set_result(None)

    def lose_lease(self) -> None:
        """The store takes it for dead."""
        if self.state != ALIVE:
            self.shelf.lose(self.owner)


@dataclass(slots=True, kw_only=True, eq=False)
class Reaper:
    """Decides by seed whom a step of his way costs his life, or holds up."""

    rng: Random
    chronicle: Chronicle
    kills: int
    pauses: int
    #: Per passing of a point.
    kill: float = 0.012
    pause: float = 0.012
    calm: bool = False
    #: Points by number at which a runner dies whatever the chance.
    strikes: frozenset[int] = frozenset()
    _passed: int = 0

    def pass_by(self, life: Life, where: str) -> None:
        """`where` names the point, for the count of what was seen."""
        if self.calm or life.state != ALIVE:
            return
        self._passed += 1
        if self._passed in self.strikes:
            self.kills += 1
            self.strike_dead(life)
            return
        fate = self.rng.random()
        if fate < self.kill and self.kills:
            self.strike_dead(life)
            self.chronicle.count(f"killed {where}")
        elif self.kill <= fate < self.kill + self.pause and self.pauses:
            self.hold_up(life)
            self.chronicle.count(f"paused {where}")

    def strike_dead(self, life: Life) -> None:
        if life.state == ALIVE and self.kills:
            self.kills -= 1
            life.kill()
            asyncio.get_running_loop().call_later(self.rng.uniform(0.05, 4), life.lose_lease)

    def hold_up(self, life: Life) -> None:
        if life.state == ALIVE and self.pauses:
            self.pauses -= 1
            life.pause()
            loop = asyncio.get_running_loop()
            if self.rng.random() < 0.75:
                loop.call_later(self.rng.uniform(0, 2), life.lose_lease)
            loop.call_later(self.rng.uniform(0.5, 15), life.resume)
