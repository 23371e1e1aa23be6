"""The stream of changes."""

import asyncio

import pytest

from registry.pages import changes
from tests.registry.serving import Api, api

pytestmark = pytest.mark.anyio


async def test_the_stream_tells_every_change_and_no_heartbeat(http: Api) -> None:
    async with asyncio.timeout(10), http.watching() as stream:
        await http.register(service_id="a")
        await http.call("POST", "/services/payment/heartbeat")
        await http.register(service_id="a")
        await http.call("POST", "/services/payment/instances/a/drain")
        await http.call("DELETE", "/services/payment")
        seen = [await stream.event() for _ in range(3)]
    assert [x["event"] for x in seen] == ["registered", "changed", "withdrawn"]
    assert [x["data"]["service_name"] for x in seen] == ["payment"] * 3
    assert [x["data"]["service_ids"] for x in seen] == [["a"]] * 3
    assert len({x["id"] for x in seen}) == 3
    indexes = [x["data"]["index"] for x in seen]
    assert indexes == sorted(indexes)


async def test_an_event_carries_all_instances_that_the_service_has_now(http: Api) -> None:
    await http.register(url="http://10.0.0.1:1", service_id="a")
    async with asyncio.timeout(10), http.watching() as stream:
        await http.register(url="http://10.0.0.2:1", service_id="b")
        data = (await stream.event())["data"]
    assert [x["service_id"] for x in data["instances"]] == ["a", "b"]
    assert data["index"] == (await http.call("GET", "/services/payment?instances=only"))[1]["index"]


async def test_an_instance_that_expires_is_told_when_the_next_request_comes(http: Api) -> None:
    await http.register(service_id="a")
    async with asyncio.timeout(10), http.watching() as stream:
        http.clock.advance(60)
        await http.refused(404, "GET", "/services/payment")
        assert (await stream.event())["event"] == "expired"


async def test_last_event_id_goes_on_behind_that_change(http: Api) -> None:
    async with asyncio.timeout(10):
        async with http.watching() as stream:
            await http.register(service_id="a")
            first = await stream.event()
        await http.register(service_id="a", zone="eu")
        await http.register("stock", service_id="b")
        async with http.watching(**{"Last-Event-ID": first["id"]}) as stream:
            seen = [await stream.event() for _ in range(2)]
    assert [(x["event"], x["data"]["service_name"]) for x in seen] == [("changed", "payment"), ("registered", "stock")]


@pytest.mark.parametrize("last", ["1-1", "rubbish", "99999999999999-0", "-"])
async def test_where_changes_are_missing_everything_has_to_be_read_anew(http: Api, last: str) -> None:
    async with asyncio.timeout(10), http.watching(**{"Last-Event-ID": last}) as stream:
        told = await stream.event()
        assert (told["event"], told["data"]["service_name"]) == ("reset", None)
        await http.register()
        assert (await stream.event())["event"] == "registered"


async def test_a_reset_of_one_watcher_is_no_event_of_another(http: Api) -> None:
    async with asyncio.timeout(10):
        async with http.watching() as first:
            await http.register("payment")
            await http.register("stock")
            one, two = [await first.event() for _ in range(2)]
        async with http.watching(**{"Last-Event-ID": "1-1"}) as lost:
            told = await lost.event()
            assert (told["event"], told["id"]) == ("reset", two["id"])
        async with http.watching(**{"Last-Event-ID": one["id"]}) as again:
            assert await again.event() == two


async def test_a_watcher_may_want_one_service_or_those_of_a_prefix(http: Api) -> None:
    async with asyncio.timeout(10), http.watching("?name=stock") as one, http.watching("?prefix=pay") as some:
        await http.register("order")
        await http.register("payment")
        await http.register("stock")
        await http.register("payslip")
        assert (await one.event())["data"]["service_name"] == "stock"
        assert [(await some.event())["data"]["service_name"] for _ in range(2)] == ["payment", "payslip"]


async def test_a_comment_shows_that_the_stream_lives(http: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "BEAT", 0.01)
    async with asyncio.timeout(10), http.asked("GET", "/services/watch") as response:
        lines = [await response.content.readline() for _ in range(7)]
    assert lines[0] == b": watching\n"
    assert lines[3:] == [b":\n", b"\n", b":\n", b"\n"]


async def test_who_hangs_up_watches_no_longer(http: Api) -> None:
    async with http.watching():
        await http.waiting(1)
    await http.waiting(0)


async def test_not_everybody_may_watch(http: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_WAITING", 1)
    async with http.watching():
        told = await http.refused(503, "GET", "/services/watch")
        assert told["code"] == "tooManyWatchers"


async def test_a_registry_that_stops_ends_its_streams() -> None:
    async with asyncio.timeout(4), api() as http, http.asked("GET", "/services/watch") as response:
        await response.content.readline()
        http.stop()
        assert (await response.content.read()).endswith(b"\n\n")
