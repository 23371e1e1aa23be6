"""Records of streams: which saga each is for, and the run that it starts."""

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from registry.base.problem import Problem
from registry.base.values import Json
from runner.engine.dispatch import Dispatcher
from runner.engine.intake import Refusal
from runner.ports import Conflict, StoreUnavailable, StreamUnavailable
from runner.saga.message import Message

log = structlog.get_logger("saga.streams")

#: Refused records kept for people to look at, per process.
KEPT: Final = 1_000


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A record that no saga took, and why."""

    stream: str
    reason: str
    key: str | None
    value: bytes | None


class Records:
    """Takes records in: by `saga-path`, else by `/On_<alias>`."""

    def __init__(self, dispatcher: Dispatcher, *, max_body: int = 1_048_576) -> None:
        self._dispatcher = dispatcher
        self._max_body = max_body
        self.refused: deque[Refused] = deque(maxlen=KEPT)

    async def take(
        self, stream: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        """Start the record's run, once per record id. What no saga takes is kept and told; it is never retried.

        Raises StreamUnavailable where the journal does not answer, so that the sender sends it again.
        """
        named = {name.lower().replace("-", "_"): raw.decode("utf-8", "replace") for name, raw in headers}
        path = named.get("saga_path", f"/On_{stream}")
        version = named.get("saga_version", "")
        chosen = self._dispatcher.choose(
            stream=stream, path=path, method="", version=int(version[:9]) if version.isdecimal() else None
        )
        if isinstance(chosen, Problem):
            self._refuse(stream, key, value, chosen.detail)
            return
        if value is not None and len(value) > self._max_body:
            self._refuse(stream, key, value, f"its value has {len(value)} bytes, and {self._max_body} are taken")
            return
        try:
            given: Json = None if value is None else msgspec.json.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._refuse(stream, key, value, f"its value is not JSON: {error}")
            return
        message = Message(
            stream=stream,
            path=path,
            method="",
            input=given,
            headers=named,
            time=self._dispatcher.driver.performer.now(),
            key=named.get("ce_id") or named.get("idempotency_key", ""),
        )
        try:
            await self._dispatcher.record(chosen, message)
        except (Refusal, Conflict) as refused:
            self._refuse(stream, key, value, str(refused))
        except StoreUnavailable as error:
            raise StreamUnavailable(f"the journal does not take records of {stream} now") from error

    def _refuse(self, stream: str, key: bytes | None, value: bytes | None, reason: str) -> None:
        told = None if key is None else key.decode("utf-8", "replace")
        self.refused.append(Refused(stream=stream, reason=reason, key=told, value=value))
        log.warning("no saga takes the record", stream=stream, key=told, reason=reason)
