"""`GET /api/v1/runs/{id}/events` of a real runner: what browsers and scripts see of a run while it runs."""

import contextlib
import signal
from pathlib import Path

import pytest

from tests.acceptance.work import WORK, with_backend
from tests.support.backend import backend
from tests.support.event_stream import EventStream
from tests.support.processes import Server, eventually, order, run

pytestmark = pytest.mark.process


def test_an_order_that_is_undone_is_told_from_its_birth_to_its_end(shop: Server) -> None:
    answer = shop.post("/orders/place", order("events-1", city="nowhere"))
    with EventStream(shop, answer.headers["x-saga-run"]) as stream:
        assert (stream.answer.status, stream.answer.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        assert stream.answer.headers["cache-control"] == "no-store"
        events = list(stream)
    assert [int(event.id) for event in events] == list(range(1, len(events) + 1))
    assert (events[0].name, events[-1].name) == ("started", "ended")
    assert events[-1].data["status"] == "compensated"
    [turned] = [event for event in events if event.name == "turned"]
    undone = {event.data["step"].partition("/")[0] for event in events if event.data.get("direction") == "undo"}
    assert undone == set(turned.data["undo"])


def test_a_run_in_flight_is_told_live_and_the_stream_ends_with_it(tmp_path: Path) -> None:
    with (
        backend(closed=True) as service,
        run(tmp_path, {"work.yaml": WORK}, with_backend(service.url)) as server,
    ):
        answer = server.post("/work", {}, Prefer="respond-async")
        eventually(lambda: service.held == 1)
        with EventStream(server, answer.headers["x-saga-run"]) as stream:
            assert [event.name for event in stream.until("status")] == ["started", "sent", "status"]
            service.gate.set()
            assert [event.name for event in stream] == ["done", "ended"]


def test_a_reader_goes_on_where_he_was(shop: Server) -> None:
    answer = shop.post("/orders/place", order("events-2"))
    name = answer.headers["x-saga-run"]
    with EventStream(shop, name) as stream:
        everything = [event.id for event in stream]
    for query, headers in (("?after=3", {}), ("", {"Last-Event-ID": "3"}), ("?after=1", {"Last-Event-ID": "3"})):
        with EventStream(shop, name, query=query, headers=headers) as stream:
            assert [event.id for event in stream] == everything[3:]
    with EventStream(shop, name, query=f"?after={everything[-1]}") as stream:
        assert [event.name for event in stream] == ["ended"]


def test_a_run_that_nobody_drives_is_told_once_it_is_taken_up(shop: Server) -> None:
    placed = shop.post("/examples/approval", order("events-3"))
    assert placed.status == 202, placed
    name = placed.headers["x-saga-run"]
    shop.run_when(name, "waiting")
    with EventStream(shop, name) as stream:
        assert stream.until("status")[-1].data["status"] == "waiting"
        assert shop.post(f"/api/v1/runs/{name}/cancel", {"reason": "changed my mind"}).status == 202
        told = list(stream)
    assert (told[0].name, told[0].data["reason"]) == ("signalled", "changed my mind")
    assert told[-1].data["status"] == "cancelled"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("nobody/events", {}, 404),
        ("nobody/events?after=-1", {}, 422),
        ("nobody/events?after=x", {}, 422),
        ("nobody/events", {"Last-Event-ID": "1.5"}, 422),
        (f"nobody/events?after={10**30}", {}, 422),
    ],
)
def test_what_cannot_be_watched_is_refused(shop: Server, path: str, headers: dict[str, str], status: int) -> None:
    answer = shop.ask("GET", f"/api/v1/runs/{path}", headers=headers)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


def test_the_api_describes_the_stream(shop: Server) -> None:
    operation = shop.ask("GET", "/api/v1/openapi.json").json["paths"]["/api/v1/runs/{run}/events"]["get"]
    assert {"200", "404", "422", "503"} <= operation["responses"].keys()
    assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"]
    assert "`ended`" in operation["description"]


def test_a_reader_who_hangs_up_makes_room_for_another(tmp_path: Path) -> None:
    with (
        backend(closed=True) as service,
        run(tmp_path, {"work.yaml": WORK}, with_backend(service.url)) as server,
        contextlib.ExitStack() as readers,
    ):
        answer = server.post("/work", {}, Prefer="respond-async")
        eventually(lambda: service.held == 1)
        name = answer.headers["x-saga-run"]
        streams = [readers.enter_context(EventStream(server, name)) for _ in range(256)]
        refused = server.ask("GET", f"/api/v1/runs/{name}/events")
        assert (refused.status, refused.json["code"]) == (503, "too-many-watchers")
        streams[0].__exit__(None, None, None)

        def room() -> bool:
            with EventStream(server, name) as stream:
                return stream.answer.status == 200

        assert eventually(room)
        service.gate.set()
        assert streams[1].until("ended")


def test_a_runner_that_stops_ends_its_streams(tmp_path: Path) -> None:
    settings = {"runner": {"drainTimeout": "100ms"}}
    with (
        backend(closed=True) as service,
        run(tmp_path, {"work.yaml": WORK}, {**with_backend(service.url), **settings}) as server,
    ):
        answer = server.post("/work", {}, Prefer="respond-async")
        eventually(lambda: service.held == 1)
        with EventStream(server, answer.headers["x-saga-run"]) as stream:
            last = stream.until("status")[-2]
            server.signal(signal.SIGTERM)
            assert [(event.name, event.data) for event in stream] == [("closed", {"reason": "stopping"})]
        assert server.wait() == 0
        service.gate.set()
        server.start()
        with EventStream(server, answer.headers["x-saga-run"], query=f"?after={last.id}") as stream:
            told = [event.name for event in stream if event.name != "status"]
        assert told[0] == "unknown", "what was in flight when it stopped"
        assert told[-1] == "ended"
