import pytest

from registry.directories.redis_address import RedisAddress, WrongAddress, read_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost:6379", RedisAddress(kind="redis", nodes=(("localhost", 6379),))),
        ("redis://h", RedisAddress(kind="redis", nodes=(("h", 6379),))),
        ("redis://[::1]:7000/3", RedisAddress(kind="redis", nodes=(("::1", 7000),), database=3)),
        ("redis://:p%40ss@h:1/0", RedisAddress(kind="redis", nodes=(("h", 1),), password="p@ss")),
        (
            "rediss://me:secret@h",
            RedisAddress(kind="rediss", nodes=(("h", 6379),), username="me", password="secret", tls=True),
        ),
        (
            "redis://h?ssl=true&ssl_ca_certs=/ca.pem",
            RedisAddress(kind="redis", nodes=(("h", 6379),), tls=True, authorities="/ca.pem"),
        ),
        (
            "redis-sentinel://s1:26379,s2/mymaster",
            RedisAddress(kind="redis-sentinel", nodes=(("s1", 26379), ("s2", 26379)), master="mymaster"),
        ),
        (
            "redis-sentinel://:secret@s1/m?sentinel_username=a&sentinel_password=b",
            RedisAddress(
                kind="redis-sentinel",
                nodes=(("s1", 26379),),
                master="m",
                password="secret",
                sentinel_username="a",
                sentinel_password="b",
            ),
        ),
        (
            "redis-cluster://h1:7000,h2:7001,[::1]",
            RedisAddress(kind="redis-cluster", nodes=(("h1", 7000), ("h2", 7001), ("::1", 6379))),
        ),
    ],
)
def test_every_kind_of_address_is_read(url: str, address: RedisAddress) -> None:
    assert read_address(url) == address


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must begin with"),
        ("localhost:6379", "must begin with"),
        ("http://localhost", "must begin with"),
        ("redis://", "must name a host"),
        ("redis://h:port", "must name a host"),
        ("redis://h:99999", "must name a host"),
        ("redis://h/db", "number of a database"),
        ("redis://h1,h2", "names one server"),
        ("redis-sentinel://s1", "name of the master"),
        ("redis-sentinel://s1/a/b", "name of the master"),
        ("redis-cluster://h/1", "one database only"),
        ("redis-cluster://h1,,h2", "must name a host"),
        ("redis://h?timeout=3", "unknown parameter timeout"),
    ],
)
def test_what_is_no_address_is_told_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(WrongAddress, match=reason):
        read_address(url)


def test_an_address_is_shown_without_its_password() -> None:
    shown = [
        str(read_address(url))
        for url in (
            "redis://u:secret@h:1/2",
            "redis-sentinel://:secret@a,b/m",
            "redis-cluster://[::1]:7000",
            "rediss://h",
        )
    ]
    assert shown == [
        "redis://h:1/2",
        "redis-sentinel://a:26379,b:26379/m",
        "redis-cluster://[::1]:7000",
        "rediss://h:6379",
    ]
