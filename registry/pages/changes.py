"""`GET /services/watch`: what changes, as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from registry.base.values import Json
from registry.directory import Change
from registry.listing import record
from registry.office import Office
from registry.pages.lookups import MOST_WAITING, too_many
from registry.pages.routes import Word, route
from registry.wire import Refused

#: Seconds without a change after which a comment shows that the stream lives.
BEAT: Final = 15.0
#: Events that are kept as they are sent.
_MOST_SENT: Final = 256

_DESCRIPTION: Final = """The changes of all services, or of those whose name is `name` or begins with `prefix`, from now
on; never a heartbeat.

`id` is the place of a change, `event` one of `registered`, `changed`, `withdrawn`, `expired`, or `reset` where changes
are missing, so that everything has to be read anew. `data` is JSON: `service_name`, `index`, `service_ids` that
changed, and `instances`, all that the service has now. `Last-Event-ID` goes on behind that change. A comment comes
when nothing has changed for a while.
"""


class _Stream(StreamingResponse):
    media_type = "text/event-stream"

    def __init__(self, office: Office, chunks: AsyncIterator[bytes]) -> None:
        super().__init__(chunks, headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._figures = office.figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:  # however it ended
            self._figures.watchers -= 1


class Changes:
    """The handler."""

    def __init__(self, office: Office) -> None:
        self._office = office
        #: The last events as they are sent, by their ids: those who watch get the same.
        self._sent: dict[str, bytes] = {}

    def routes(self) -> APIRouter:
        api = APIRouter(tags=["services"])
        answers = {200: ("Events.", "events")}
        route(api, "GET", "/services/watch", self.watch, 422, 503, answers=answers, description=_DESCRIPTION)
        return api

    async def watch(
        self,
        name: Word = None,
        prefix: Word = None,
        last_event_id: Annotated[str | None, Header(max_length=64)] = None,
    ) -> _Stream:
        """The stream."""
        figures = self._office.figures
        if figures.watchers >= MOST_WAITING:
            raise Refused(too_many())
        figures.watchers += 1
        return _Stream(self._office, self._chunks(last_event_id, name, prefix or ""))

    async def _chunks(self, last: str | None, name: str | None, prefix: str) -> AsyncIterator[bytes]:
        office = self._office
        after = last or office.directory.position()
        # An id without data is no event, but what a reader that hears nothing else goes on from.
        yield b": watching\n\n" if last else b": watching\nid: %b\n\n" % after.encode()
        while not office.stopping.is_set():
            changes = await office.patiently(office.directory.changes(after, BEAT)) or ()
            after = changes[-1].id if changes else after
            told = [
                self._written(change)
                for change in changes
                if change.name is None or (change.name.startswith(prefix) and name in (None, change.name))
            ]
            yield b"".join(told) or b":\n\n"

    def _written(self, change: Change) -> bytes:
        if change.name is None:  # its id is that of another
            return self._event(change)
        written = self._sent.get(change.id)
        if written is None:
            if len(self._sent) >= _MOST_SENT:
                self._sent.clear()
            written = self._sent[change.id] = self._event(change)
        return written

    def _event(self, change: Change) -> bytes:
        data: dict[str, Json] = {"service_name": change.name, "index": change.index, "service_ids": change.service_ids}
        if change.name is not None:
            data["instances"] = [record(x) for x in self._office.directory.snapshot(change.name)]
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (
            change.id.encode(),
            change.kind.encode(),
            msgspec.json.encode(data),
        )
