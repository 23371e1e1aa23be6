"""Which addresses a call may reach.

Checked on the addresses that a name resolved to, and only those are connected to: a name that points
elsewhere by the time of the connection (DNS rebinding) gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Where clouds hand out credentials to whoever asks from inside; link-local covers most of them.
_NEVER_BY_DEFAULT: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32")
)
#: Addresses that carry an IPv4 address in their last 32 bits and end up there (NAT64).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: Seconds for the lookup of a name that wants to be admitted.
_LOOKUP_S = 3.0


class Refused(OSError):
    """The name leads to an address that calls may not reach."""


class Networks:
    """A rule for addresses, and name lookups under it. `setting` is what its sentences call it."""

    def __init__(self, allowed: Sequence[str] = (), *, setting: str = "http.allowedNetworks") -> None:
        """`allowed`: networks as `10.0.0.0/8`; empty: all but link-local and cloud metadata addresses.

        Raises ValueError naming the entry that is not a network.
        """
        self._setting = setting
        self._allowed: list[Network] = []
        for text in allowed:
            try:
                self._allowed.append(ipaddress.ip_network(text, strict=False))
            except ValueError as exc:
                raise ValueError(
                    f"{setting}: {text!r} is not a network; write an address and a prefix length, such as 10.0.0.0/8."
                ) from exc
        self._lookups: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    def allows(self, address: str) -> bool:
        """Whether a call may reach this IP address."""
        ip = _plain(ipaddress.ip_address(address))
        if self._allowed:
            return any(ip in network for network in self._allowed)
        return not any(ip in network for network in _NEVER_BY_DEFAULT)

    def check_literal(self, host: str) -> None:
        """Raises Refused where `host` is an IP address that is not permitted; names pass."""
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            return
        self._permitted(host, [address])

    async def admit(self, host: str) -> None:
        """Raises Refused where `host` is not permitted: an address at once, a name where networks are listed and none
        of its addresses lies in them, or it has none.
        """
        self.check_literal(host)
        if not self._allowed:
            return  # what a name leads to may change: that is checked when it is called
        try:
            async with asyncio.timeout(_LOOKUP_S):
                await self.resolve(host, 0)
        except Refused:
            raise
        except OSError:  # a lookup that takes too long, too
            raise Refused(f"{host} has no address here, so it cannot be said to be within {self._setting}.") from None

    async def resolve(self, host: str, port: int) -> list[str]:
        """The permitted IP addresses of `host`, in the resolver's order.

        Callers that ask for one name at the same time share one lookup. Raises Refused if there are addresses
        but none is permitted, OSError (socket.gaierror) if the name is unknown.
        """
        try:
            found = [str(ipaddress.ip_address(host))]
        except ValueError:
            found = await self._look_up(host, port)
        return self._permitted(host, found)

    def _permitted(self, host: str, found: list[str]) -> list[str]:
        permitted = [address for address in found if self.allows(address)]
        if not permitted:
            where = found[0] if host == found[0] else f"{host} ({', '.join(found)})"
            rule = f"is not within {self._setting}" if self._allowed else "is link-local or cloud metadata"
            raise Refused(f"{where} {rule}, so it is not called; name its network in {self._setting}.")
        return permitted

    async def _look_up(self, host: str, port: int) -> list[str]:
        lookup = self._lookups.get((host, port))
        if lookup is None:
            lookup = asyncio.get_running_loop().create_task(_addresses(host, port))
            self._lookups[host, port] = lookup
            lookup.add_done_callback(lambda done: self._forget((host, port), done))
        return await asyncio.shield(lookup)

    def _forget(self, key: tuple[str, int], lookup: asyncio.Task[list[str]]) -> None:
        del self._lookups[key]
        if not lookup.cancelled():
            lookup.exception()  # seen, even if everybody who asked has gone


async def _addresses(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        raise OSError(f"{host!r} is not a host name") from exc
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def _plain(ip: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, else the address itself."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip
