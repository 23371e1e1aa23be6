"""`GET /api/v1/runs/{id}/events`: what happens to a run, as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from registry.base.problem import Problem
from runner.adapters.web.models import RunId
from runner.adapters.web.refusal import Refusal, unknown
from runner.engine.watch import MOST_WATCHERS, TooManyWatchers, Watch, Watchers
from runner.saga.happening import NAMES, Event

#: The largest number that every client of JSON can count to.
_MOST: Final = 2**53
_DESCRIPTION: Final = "\n".join(
    (
        "What has happened to a run so far, then what happens, as it becomes durable, until the run has ended.",
        "",
        "`id` is the number of the record, `event` one of those below, `data` JSON: `time` and what the event says, "
        "mostly `step` (its path), `direction`, `attempt`, `outcome`, `error`. Numbers grow, and may leave some out. "
        "`Last-Event-ID`, or `after`, goes on behind a number. A comment comes when nothing has happened for a while.",
        "",
        *(f"- `{name}`: {what}" for name, what in NAMES.items()),
    )
)


class _EventStream(StreamingResponse):
    media_type = "text/event-stream"

    def __init__(self, watchers: Watchers, watch: Watch) -> None:
        super().__init__(_chunks(watch), headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._watchers = watchers
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:  # however it ended: the caller hung up, was cut off, or has all
            self._watchers.leave(self._watch)


def events(watchers: Watchers) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/api/v1/runs/{run}", tags=["runs"])

    @router.get(
        "/events",
        status_code=200,
        response_class=_EventStream,
        description=_DESCRIPTION,
        responses={200: {"description": "Events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def watch_run(
        run: RunId,
        after: Annotated[int, Query(ge=0, le=_MOST, description="Go on behind this record.")] = 0,
        last_event_id: Annotated[
            int | None, Header(ge=0, le=_MOST, description="As `after`, which it outdoes: browsers send it.")
        ] = None,
    ) -> _EventStream:
        try:
            watch = await watchers.watch(run, after if last_event_id is None else last_event_id)
        except TooManyWatchers:
            raise Refusal(
                Problem(
                    status=503,
                    code="too-many-watchers",
                    title="Too many watch already",
                    detail=f"At most {MOST_WATCHERS} may watch runs at a time; ask for the run now and then instead.",
                    headers={"retry-after": "5"},
                )
            ) from None
        if watch is None:
            raise Refusal(unknown("run", run))
        return _EventStream(watchers, watch)

    return router


async def _chunks(watch: Watch) -> AsyncIterator[bytes]:
    async for batch in watch.events():
        yield b"".join(map(_written, batch)) or b":\n\n"


def _written(event: Event) -> bytes:
    number = b"" if event.seq is None else b"id: %d\n" % event.seq
    return b"%bevent: %b\ndata: %b\n\n" % (number, event.name.encode(), event.data)
