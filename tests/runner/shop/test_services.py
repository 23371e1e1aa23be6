"""What each service does, and what it says to those it must refuse."""

import asyncio
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from registry.app import serve
from registry.base.guest import CannotListen
from registry.client import RegistryClient
from registry.settings import Settings
from runner.shop.serve import LATE, Ports, Shop
from tests.runner.shop.visit import FREE, Reply, customer_of, open_shop

pytestmark = pytest.mark.anyio


async def test_a_slow_reservation_is_in_force_before_it_is_answered_and_can_be_undone_meanwhile(
    tmp_path: Path,
) -> None:
    reached, released = asyncio.Event(), asyncio.Event()
    asked_for: list[float] = []

    async def pause(seconds: float) -> None:
        asked_for.append(seconds)
        reached.set()
        await released.wait()

    async with open_shop(tmp_path / "shop.db", pause=pause) as shop:
        late = asyncio.create_task(shop.reserve("r-1", "tea", "slow", key="k1"))
        await reached.wait()
        assert await shop.in_force("stock") == ["r-1"]
        assert (await shop.ask("stock", "DELETE", "/reservations/r-1", key="k1.undo")).status == 200
        assert await shop.in_force("stock") == []
        assert not late.done()
        released.set()
        assert (await late).status == 201
        assert asked_for == [LATE]


async def test_a_repeated_slow_reservation_is_late_each_time(tmp_path: Path) -> None:
    asked_for: list[float] = []

    async def pause(seconds: float) -> None:
        asked_for.append(seconds)

    async with open_shop(tmp_path / "shop.db", pause=pause) as shop:
        await shop.reserve("r-1", "slow", key="k1")
        await shop.reserve("r-1", "slow", key="k1")
        assert asked_for == [LATE, LATE]


async def test_closing_the_shop_sends_late_answers_at_once(tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def pause(_: float) -> None:
        reached.set()
        await asyncio.Event().wait()

    shop = Shop(tmp_path / "shop.db", ports=FREE, pause=pause)
    async with shop:
        urls = dict(shop.urls)
        async with customer_of(urls) as customer:
            late = asyncio.create_task(customer.reserve("r-1", "slow"))
            await reached.wait()
            await shop.__aexit__()
            assert (await late).status == 201


async def test_what_is_sold_out_is_refused_and_nothing_is_set_aside(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        refused = await shop.reserve("r-1", "tea", "sold-out", key="k1")
        assert refused.status == 409
        assert "sold-out" in refused.body["reason"]
        assert await shop.in_force("stock") == []


async def test_a_broke_customer_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        refused = await shop.charge("c-1", 42, "broke", key="k1")
        assert refused == Reply(status=402, body={"reason": "the account of broke does not cover 42"})
        assert await shop.in_force("payment") == []


async def test_a_flaky_payment_goes_through_at_the_second_attempt_under_the_same_key(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        assert [(await shop.charge("c-1", customer="flaky", key="k1")).status for _ in range(3)] == [
            503,
            201,
            201,
        ]
        assert await shop.in_force("payment") == ["c-1"]


async def test_no_courier_goes_to_nowhere(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        assert (await shop.ship("s-1", "nowhere", key="k1")).status == 409
        quote = await shop.ask("courier", "POST", "/quotes", {"city": "nowhere"})
        assert quote.status == 409
        assert await shop.in_force("courier") == []


async def test_a_shipment_number_follows_from_the_callers_id(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "one.db") as shop:
        here = await shop.ship("s-1")
    async with open_shop(tmp_path / "two.db") as shop:
        there = await shop.ship("s-1")
        other = await shop.ship("s-2")
    assert here == there
    assert here.body["id"].startswith("shp-")
    assert here.body["id"] != other.body["id"]


async def test_a_parcel_moves_on_each_time_somebody_looks(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        await shop.ship("s-1")
        await shop.ship("s-2")
        seen = [(await shop.ask("courier", "GET", "/shipments/s-1", key="k9")).body["status"] for _ in range(4)]
        assert seen == ["packed", "on the road", "delivered", "delivered"]
        assert (await shop.ask("courier", "GET", "/shipments/s-2")).body["status"] == "packed"
        assert (await shop.ask("courier", "GET", "/shipments/s-3")).status == 404


async def test_what_is_in_force_can_be_looked_up(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        reserved = await shop.reserve("r-1")
        assert (await shop.ask("stock", "GET", "/reservations/r-1")).body == reserved.body
        assert (await shop.ask("stock", "GET", "/reservations/r-2")).status == 404
        assert (await shop.ask("payment", "GET", "/charges/c-1")).status == 404
        assert (await shop.ask("stock", "GET", "/prices/tea")).body == {"sku": "tea", "price": 4.5}
        assert (await shop.ask("stock", "GET", "/prices/unknown")).status == 404
        assert (await shop.ask("courier", "POST", "/quotes", {"city": "Berlin"})).body == {
            "city": "Berlin",
            "fee": 6,
        }


async def test_every_service_tells_its_health(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        for service in ("stock", "payment", "courier"):
            health = await shop.ask(service, "GET", "/health")
            assert health == Reply(status=200, body={"status": "healthy", "service": service})


HOSTILE = [
    (b"", 400),
    (b"{", 400),
    (b"null", 422),
    (b"[]", 422),
    (b"NaN", 400),
    (b"[" * 100_000, 422),
    (b'{"id":"a","amount":1,"more":' + b"[" * 100_000 + b"}", 400),
    (b'{"id":"\xff","amount":1}', 400),
    (b'{"id":"\\ud800","amount":1}', 400),
    (b'{"id":"","amount":1}', 422),
    (b'{"id":"' + b"x" * 201 + b'","amount":1}', 422),
    (b'{"id":7,"amount":1}', 422),
    (b'{"id":"a"}', 422),
    (b'{"id":"a","amount":-1}', 422),
    (b'{"id":"a","amount":-0.5}', 422),
    (b'{"id":"a","amount":"1"}', 422),
    (b'{"id":"a","amount":true}', 422),
    (b'{"id":"a","amount":1e999}', 422),
    (b"x" * (1 << 20) + b"x", 413),
]


async def test_a_hostile_body_is_refused_and_leaves_its_key_free(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        told = [await shop.ask("payment", "POST", "/charges", raw=raw, key="k1") for raw, _ in HOSTILE]
        assert [(raw[:40], reply.status) for (raw, _), reply in zip(HOSTILE, told, strict=True)] == [
            (raw[:40], status) for raw, status in HOSTILE
        ]
        assert all(reply.body["reason"] for reply in told)
        assert (await shop.charge("c-1", key="k1")).status == 201


async def test_any_amount_that_is_a_number_is_kept_as_it_is(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        for n, amount in enumerate([0, 0.1, 10**30, 1e300]):
            for _ in range(2):
                assert (await shop.charge(f"c-{n}", amount, key=f"k{n}")).body["amount"] == amount


async def test_a_reservation_of_nothing_or_of_less_than_one_is_refused(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        for lines in ([], [{"sku": "tea", "qty": 0}], [{"qty": 1}], {"sku": "tea", "qty": 1}):
            reply = await shop.ask("stock", "POST", "/reservations", {"id": "r-1", "lines": lines})
            assert reply.status == 422


async def test_an_unfit_key_is_refused(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        for key in ('"quoted"', "a b", "x" * 129, "ü"):
            assert (await shop.charge("c-1", key=key)).status == 400
        assert await shop.in_force("payment") == []


async def test_unknown_paths_and_verbs_are_told_in_json(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        assert (await shop.ask("stock", "GET", "/nothing")).status == 404
        assert (await shop.ask("stock", "PATCH", "/reservations")).status == 405
        assert (await shop.ask("stock", "GET", "/reservations/%ff%00")).status == 404


async def test_hostile_heads_are_never_a_500(tmp_path: Path) -> None:
    targets = (
        b"/prices/tea",
        b"/prices/%ff%00%ed%a0%80",
        b"//",
        b"http://[/prices/tea",
        b"/requests?limit=%ff&a=[",
    )
    async with open_shop(tmp_path / "shop.db") as shop:
        address = urlsplit(shop.urls["stock"])
        for host in (b"localhost", b"[", b"\xff", b"a b"):
            for target in targets:
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
                writer.write(b"GET %s HTTP/1.1\r\nHost: %s\r\nX-Saga-Run: \xff\r\n\r\n" % (target, host))
                status = int((await reader.readline()).split()[1])
                writer.close()
                await writer.wait_closed()
                assert status < 500, (host, target)


async def test_the_process_keeps_its_signal_handlers(tmp_path: Path) -> None:
    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in watched]
    async with open_shop(tmp_path / "shop.db") as shop:
        assert (await shop.reserve("r-1")).status == 201
        assert [signal.getsignal(number) for number in watched] == before


async def test_the_services_are_listed_in_the_registry_as_long_as_they_are_open(tmp_path: Path) -> None:
    async with serve(Settings(port=0)) as registry, RegistryClient(registry.url) as client:
        async with open_shop(tmp_path / "shop.db", registry_url=registry.url) as shop:
            listed = await client.services()
            assert {each["service_name"]: each["service_url"] for each in listed} == shop.urls
            assert all(each["capabilities"] == ["rest"] for each in listed)
        assert await client.services() == []


async def test_a_registry_that_is_away_keeps_no_service_shut(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with open_shop(tmp_path / "shop.db", registry_url=url) as shop:
            assert (await shop.reserve("r-1")).status == 201


async def test_a_taken_port_is_told_with_the_services_name_and_nothing_stays_open(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotListen, match=f"payment cannot listen on 127.0.0.1:{port}"):
            async with Shop(tmp_path / "shop.db", ports=Ports(stock=0, payment=port, courier=0)):
                pytest.fail("it opened on a port that was taken")
    assert not (tmp_path / "shop.db").exists()


async def test_a_shop_without_its_file_does_not_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        async with Shop(tmp_path / "file" / "shop.db", ports=FREE):
            pytest.fail("it opened without a place to write")
