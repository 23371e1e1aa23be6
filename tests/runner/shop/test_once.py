"""Each key has its effect once, and an undo holds whenever it comes."""

import asyncio
from pathlib import Path

import pytest

from registry.base.clock import ManualClock
from tests.runner.shop.visit import Reply, open_shop

pytestmark = pytest.mark.anyio


async def test_the_same_key_again_gets_the_same_answer_and_no_second_effect(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        first = await shop.charge("c-1", key="k1")
        again = await shop.charge("c-1", key="k1")
        assert first == again == Reply(status=201, body={"id": "c-1", "amount": 10, "customer": "ada"})
        assert await shop.in_force("payment") == ["c-1"]
        assert [r["effect"] for r in await shop.requests("payment")] == ["applied", "repeated"]


async def test_the_answer_under_a_key_stays_even_after_its_effect_was_undone(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        first = await shop.charge("c-1", key="k1")
        undone = await shop.ask("payment", "POST", "/charges/c-1/refund", key="k1.undo")
        assert undone.status == 200
        assert await shop.charge("c-1", key="k1") == first
        assert await shop.in_force("payment") == []


async def test_a_refusal_is_kept_under_its_key_too(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        first = await shop.charge("c-1", customer="broke", key="k1")
        assert first.status == 402
        assert await shop.charge("c-1", customer="broke", key="k1") == first


async def test_another_payload_under_a_used_key_is_refused(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        await shop.charge("c-1", 10, key="k1")
        other = await shop.charge("c-1", 11, key="k1")
        assert other.status == 422
        assert "k1 was used before" in other.body["reason"]
        elsewhere = await shop.ask("payment", "POST", "/charges/c-1/refund", key="k1")
        assert elsewhere.status == 422
        assert await shop.in_force("payment") == ["c-1"]


async def test_a_key_means_another_thing_in_another_service(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        assert (await shop.charge("x", key="k1")).status == 201
        assert (await shop.reserve("x", key="k1")).status == 201
        assert (await shop.ship("x", key="k1")).status == 201


async def test_of_many_requests_under_one_key_at_once_one_has_the_effect(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        answers = await asyncio.gather(*(shop.ship("s-1", key="k1") for _ in range(20)))
        assert all(answer == answers[0] and answer.status == 201 for answer in answers)
        effects = [r["effect"] for r in await shop.requests("courier")]
        assert sorted(effects) == ["applied"] + ["repeated"] * 19
        assert await shop.in_force("courier") == ["s-1"]


async def test_without_a_key_the_id_keeps_the_effect_single(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        assert await shop.reserve("r-1") == await shop.reserve("r-1")
        assert (await shop.reserve("r-1", "cup")).status == 409
        assert await shop.in_force("stock") == ["r-1"]


@pytest.mark.parametrize(
    ("service", "method", "path"),
    [
        ("stock", "DELETE", "/reservations/x"),
        ("payment", "POST", "/charges/x/refund"),
        ("courier", "DELETE", "/shipments/x"),
    ],
)
async def test_a_forward_request_that_comes_after_its_undo_is_refused(
    tmp_path: Path, service: str, method: str, path: str
) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        forward = {"stock": shop.reserve, "payment": shop.charge, "courier": shop.ship}[service]
        undo = await shop.ask(service, method, path, key="k1.undo")
        assert undo.status == 404
        late = await forward("x", key="k1")
        assert late.status == 410
        assert "undone before" in late.body["reason"]
        assert await shop.in_force(service) == []


async def test_an_undo_may_come_twice(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        await shop.reserve("r-1", key="k1")
        first = await shop.ask("stock", "DELETE", "/reservations/r-1", key="k1.undo")
        assert first == Reply(status=200, body={"id": "r-1", "undone": True})
        assert await shop.ask("stock", "DELETE", "/reservations/r-1", key="k1.undo") == first
        assert (await shop.ask("stock", "DELETE", "/reservations/r-1", key="other")).status == 404


async def test_an_undo_takes_out_only_its_own_effect(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        for name in ("r-1", "r-2", "r-3"):
            await shop.reserve(name)
        await shop.ask("stock", "DELETE", "/reservations/r-2")
        assert await shop.in_force("stock") == ["r-1", "r-3"]


async def test_everything_that_came_is_listed_with_its_key_run_time_and_status(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db", clock=ManualClock(0.0)) as shop:
        body = {"id": "c-1", "amount": 3, "customer": "ada"}
        await shop.ask("payment", "POST", "/charges", body, key="k1", run="run-7")
        await shop.ask("payment", "GET", "/charges/c-1", run="run-7")
        at = "1970-01-01T00:00:00.000000Z"
        shared = {"run": "run-7", "at": at}
        assert await shop.requests("payment") == [
            {"method": "POST", "path": "/charges", "key": "k1", "status": 201, "effect": "applied", **shared},
            {"method": "GET", "path": "/charges/c-1", "key": "", "status": 200, "effect": "", **shared},
        ]
        effects = await shop.ask("payment", "GET", "/effects")
        assert effects.body == {
            "effects": [{"id": "c-1", "kind": "charge", "key": "k1", "run": "run-7", "at": at, "body": body}]
        }


async def test_the_list_of_requests_gives_the_latest(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "shop.db") as shop:
        for name in ("a", "b", "c"):
            await shop.ask("stock", "GET", f"/prices/{name}")
        latest = await shop.ask("stock", "GET", "/requests?limit=2")
        assert [r["path"] for r in latest.body["requests"]] == ["/prices/b", "/prices/c"]
        for unfit in ("0", "-1", "x", "99999999", ""):
            assert (await shop.ask("stock", "GET", f"/requests?limit={unfit}")).status == 422
