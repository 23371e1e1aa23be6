"""One connection to one Redis node. Commands that come while a group is on its way form the next group, so that many
callers share a round trip, and replies are taken in the order in which Redis has carried the commands out.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from redis.exceptions import RedisError, ResponseError

from registry.base.clock import Clock

#: What a command is made of, and a reply as it came.
Word: TypeAlias = str | bytes | int
Reply: TypeAlias = Any

#: Commands in one group, and commands that may wait for the next.
_GROUP: Final = 256
_WAITING: Final = 20_000
#: Seconds for which replies may be taken without letting anybody else do something.
_STRETCH: Final = 0.002
#: Errors by which a node says that it cannot do it now, or that another node has to; nothing was done.
_ELSEWHERE: Final = ("MOVED", "ASK", "READONLY", "LOADING", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "NOSCRIPT", "LATE")


class LinkLost(Exception):
    """The node did not answer in time, is not there, or is not the one to ask."""


class CommandRefused(Exception):
    """Redis answered the command with an error of its own, such as a full memory."""


class Connection(Protocol):
    """What is used of redis-py's connections."""

    async def connect(self) -> None: ...

    async def disconnect(self, nowait: bool = False) -> None: ...

    def pack_commands(self, commands: Sequence[tuple[Word, ...]]) -> Any: ...

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None: ...

    async def read_response(self) -> Reply: ...


#: Makes the answer out of a reply that has just come over a link.
Apply: TypeAlias = Callable[["Link", Reply], Reply]


class _Command:
    """A command on its way. `apply` makes the answer of the reply, before any later reply of the link is looked at."""

    __slots__ = ("apply", "limited", "reply", "words")

    def __init__(
        self, words: tuple[Word, ...], apply: Apply | None, limited: bool, reply: asyncio.Future[Reply]
    ) -> None:
        self.words = words
        self.limited = limited
        self.apply = apply
        self.reply = reply

    def settle(self, link: "Link", reply: Reply) -> None:
        if self.apply is not None:
            try:
                reply = self.apply(link, reply)
            except Exception as broken:
                self.fail(broken)
                return
        if not self.reply.done():
            self.reply.set_result(reply)

    def fail(self, reason: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(reason)
            self.reply.exception()  # whoever did not stay for the reply need not hear of it


class Link:
    """A link breaks once and for all: the first failure fails everything that waits, and everything that comes.

    `begin` does what is to be done first and answers the microsecond that it is at the node.
    """

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        *,
        timeout: float,
        begin: Callable[[Connection], Awaitable[int]],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._timeout = timeout
        self._begin = begin
        self._queue: deque[_Command] = deque()
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._broken: LinkLost | None = None
        #: Redis time minus monotonic time, in seconds: the best estimates of this while and of the one before.
        self._offsets = [float("-inf"), float("-inf")]

    async def open(self) -> None:
        """Connect. Raises `LinkLost`."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._connection.connect()
                self.heard(await self._begin(self._connection))
        except (RedisError, OSError, TimeoutError, LinkLost) as reason:
            with contextlib.suppress(RedisError, OSError):
                await self._connection.disconnect(nowait=True)
            raise LinkLost(said(reason)) from None
        self._task = asyncio.create_task(self._work(), name="redis link")

    async def close(self) -> None:
        """Break the link and free the connection."""
        self._break(LinkLost("the link was closed"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        with contextlib.suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)

    def send(self, *words: Word, apply: Apply | None = None, limited: bool = False) -> asyncio.Future[Reply]:
        """The reply to a command, when it comes; raises `LinkLost` or `CommandRefused` when awaited.

        `limited`: it gets as its last word the time of the node, in microseconds, until which its reply is waited for.
        """
        command = _Command(words, apply, limited, asyncio.get_running_loop().create_future())
        if self._broken is not None:
            command.fail(self._broken)
        elif len(self._queue) >= _WAITING:
            command.fail(CommandRefused(f"{_WAITING} commands wait for Redis already"))
        else:
            self._queue.append(command)
            self._more.set()
        return command.reply

    def heard(self, micros: int) -> None:
        """A reply that has just come says what time it was at the node; the least delayed of them is believed."""
        self._offsets[0] = max(self._offsets[0], micros / 1e6 - self._clock.monotonic())

    def forget_offset(self) -> None:
        """A new while begins, so that clocks which drift apart are followed."""
        self._offsets = [float("-inf"), self._offsets[0]] if self._offsets[0] > float("-inf") else self._offsets

    def monotonic(self, micros: int) -> float:
        """A time of the node as a monotonic time of this machine."""
        return micros / 1e6 - max(self._offsets)

    async def _work(self) -> None:
        group: list[_Command] = []
        try:
            while True:
                if not self._queue:
                    self._more.clear()
                    await self._more.wait()
                group = [self._queue.popleft() for _ in range(min(len(self._queue), _GROUP))]
                async with asyncio.timeout(self._timeout):
                    limit = round((self._clock.monotonic() + max(self._offsets) + self._timeout) * 1e6)
                    words = [(*each.words, limit) if each.limited else each.words for each in group]
                    await self._connection.send_packed_command(
                        self._connection.pack_commands(words), check_health=False
                    )
                    yielded = self._clock.monotonic()
                    while group:
                        if self._clock.monotonic() - yielded > _STRETCH:
                            await asyncio.sleep(0)
                            yielded = self._clock.monotonic()
                        reply = await self._read()
                        command = group.pop(0)
                        if isinstance(reply, CommandRefused):
                            command.fail(reply)
                        else:
                            command.settle(self, reply)
        except (RedisError, OSError, TimeoutError, LinkLost) as reason:
            self._broken = reason if isinstance(reason, LinkLost) else LinkLost(said(reason))
            with contextlib.suppress(RedisError, OSError):
                await self._connection.disconnect(nowait=True)
        finally:
            self._queue.extendleft(reversed(group))
            self._break(LinkLost("the link was closed"))

    async def _read(self) -> Reply:
        try:
            return await self._connection.read_response()
        except ResponseError as refused:
            text = str(refused)
            code = getattr(refused, "status_code", None) or text.partition(" ")[0]
            # Redis 6 wraps what a script ran into in an error of its own.
            if code in _ELSEWHERE or any(f"-{each} " in text for each in _ELSEWHERE):
                raise LinkLost(f"{code} {text}") from None
            return CommandRefused(text)

    def _break(self, reason: LinkLost) -> None:
        self._broken = self._broken or reason
        while self._queue:
            self._queue.popleft().fail(self._broken)


def said(reason: Exception) -> str:
    """What an exception says of itself, or what it is."""
    return str(reason) or ("no answer in time" if isinstance(reason, TimeoutError) else type(reason).__name__)
