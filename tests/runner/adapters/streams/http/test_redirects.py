"""Reads follow redirects on their own host; effects follow none."""

import pytest

from runner.saga.exchange import Answer
from tests.runner.adapters.streams.http.calls import a_request, send, verdict
from tests.runner.adapters.streams.http.conftest import Net
from tests.support.services import Peer, Script, always, answer


def places(table: dict[str, bytes]) -> Script:
    """A service that answers by target."""

    async def script(peer: Peer) -> None:
        while True:
            got = await peer.request()
            peer.write(table[got.target])

    return script


def to(location: str, status: int = 302) -> bytes:
    return answer(status, b"elsewhere", (("Location", location),))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_read_follows_a_redirect_on_its_host_with_the_same_method_and_headers(
    net: Net, method: str, status: int
) -> None:
    # An answer to HEAD has no body, whatever its length says.
    def said(raw: bytes) -> bytes:
        return raw if method == "GET" else raw[: raw.index(b"\r\n\r\n") + 4]

    async def scenario() -> None:
        table = {"/a?q=1": said(to("/b%20c?d=%2F", status)), "/b%20c?d=%2F": said(answer(200, b"here"))}
        async with net.service(places(table)) as service, net.sink() as sink:
            request = a_request(method, "/a?q=1", headers=(("x-mine", "1"),))
            got = await send(sink, service.url, request, extra_headers=[("authorization", "Bearer t")])
            assert isinstance(got, Answer)
            assert got.status == 200
            assert [one.method for one in service.received] == [method, method]
            assert service.received[0].headers == service.received[1].headers

    net.run(scenario())


def test_relative_and_absolute_locations_are_resolved_against_the_request(net: Net) -> None:
    async def scenario() -> None:
        table = {"/x/a": to("b"), "/x/b": to("../c#part"), "/d": answer(200, b"d")}
        async with net.service(places(table)) as service, net.sink() as sink:
            table["/c"] = to(f"{service.url}/d")
            got = await send(sink, service.url, a_request("GET", "/x/a"))
            assert isinstance(got, Answer)
            assert got.body == b"d"

    net.run(scenario())


@pytest.mark.parametrize(
    "location",
    [
        "{other}://{host}/b",
        "{scheme}://127.0.0.2:{port}/b",
        "{scheme}://{host}0/b",
        "//evil.invalid/b",
        "{scheme}://user:secret@{host}/b",
        "ftp://{host}/b",
        "mailto:someone",
        "{scheme}://[broken/b",
        "/with space",
    ],
)
def test_a_redirect_that_leads_off_the_host_is_lost_and_not_followed(net: Net, location: str) -> None:
    async def scenario() -> None:
        table: dict[str, bytes] = {}
        async with net.service(places(table)) as service, net.sink() as sink:
            host = service.url.partition("://")[2]
            other = "http" if net.scheme == "https" else "https"
            table["/a"] = to(location.format(other=other, scheme=net.scheme, host=host, port=service.port), 301)
            assert verdict(await send(sink, service.url, a_request("GET", "/a"))) == ("redirect", True, 301)
            assert len(service.received) == 1

    net.run(scenario())


def test_a_circle_of_redirects_is_lost(net: Net) -> None:
    async def scenario() -> None:
        table = {"/a": to("/b"), "/b": to("/a", 307)}
        async with net.service(places(table)) as service, net.sink() as sink:
            assert verdict(await send(sink, service.url, a_request("GET", "/a"))) == ("redirect", True, 307)
            assert len(service.received) == 2

    net.run(scenario())


@pytest.mark.parametrize("hops", [5, 6])
def test_five_redirects_are_followed_and_a_sixth_is_lost(net: Net, hops: int) -> None:
    async def scenario() -> None:
        table = {f"/{n}": to(f"/{n + 1}") for n in range(hops)} | {f"/{hops}": answer(200, b"end")}
        async with net.service(places(table)) as service, net.sink() as sink:
            got = await send(sink, service.url, a_request("GET", "/0"))
            assert len(service.received) == 6
            if hops == 5:
                assert isinstance(got, Answer)
            else:
                assert verdict(got) == ("redirect", True, 302)

    net.run(scenario())


def test_a_redirect_of_a_read_without_a_location_is_lost(net: Net) -> None:
    async def scenario() -> None:
        async with net.service(always(answer(302))) as service, net.sink() as sink:
            assert verdict(await send(sink, service.url, a_request("GET"))) == ("redirect", True, 302)

    net.run(scenario())


def test_not_modified_is_an_answer_to_a_read(net: Net) -> None:
    raw = b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\n\r\n'

    async def scenario() -> None:
        async with net.service(always(raw)) as service, net.sink() as sink:
            for _ in range(2):
                got = await send(sink, service.url, a_request("GET"))
                assert got == Answer(status=304, headers={"etag": '"1"'}, body=b"")

    net.run(scenario())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_redirect_of_an_effect_is_handed_over_and_not_followed(net: Net, method: str, status: int) -> None:
    async def scenario() -> None:
        table = {"/a": to("/b", status)}
        async with net.service(places(table)) as service, net.sink() as sink:
            got = await send(sink, service.url, a_request(method, "/a", body=b"{}"))
            assert isinstance(got, Answer)
            assert (got.status, got.headers["location"]) == (status, "/b")
            assert len(service.received) == 1

    net.run(scenario())


def test_redirects_share_one_timeout(net: Net) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.write(to("/b"))
        await peer.request()
        await peer.client_closed()

    async def scenario() -> None:
        async with net.service(script) as service, net.sink() as sink:
            got = await send(sink, service.url, a_request("GET", "/a"), timeout=0.3)
            assert verdict(got) == ("timeout", True, 0)
            assert len(service.received) == 2

    net.run(scenario())
