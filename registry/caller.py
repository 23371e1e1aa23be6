"""Which instance a caller means who names only its service: old clients beat and leave by name alone.

A guess would be dangerous: one stopping pod must never remove the others. So it is the named id, else the
sole instance, else the only one that lives at the caller's address, else nobody.
"""

import ipaddress
from collections.abc import Sequence

from registry.listing import Listing, host_of


def meant(listings: Sequence[Listing], *, service_id: str | None, address: str) -> Listing | None:
    """The instance meant; None if there is none or several could be. `address` is the caller's IP."""
    if service_id is not None:
        return next((x for x in listings if x.service_id == service_id), None)
    if len(listings) == 1:
        return listings[0]
    there = [x for x in listings if lives_at(x, address)]
    return there[0] if len(there) == 1 else None


def lives_at(listing: Listing, address: str) -> bool:
    """Whether the host of the instance's URL is this IP address; `localhost` is every loopback address."""
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(caller, ipaddress.IPv6Address):
        caller = caller.ipv4_mapped or caller
    host = host_of(listing.service_url)
    return host == str(caller) or (host == "localhost" and caller.is_loopback)
