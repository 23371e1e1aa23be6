"""Builders with defaults for the registry's nouns."""

from typing import Any

from registry.listing import Listing, Registration


def listing(service_id: str = "a", **changed: Any) -> Listing:
    given: dict[str, Any] = {
        "service_name": "payment",
        "service_url": f"http://{service_id}.test:9002",
        "service_id": service_id,
        "registered_at": 1_700_000_000.0,
        "last_heartbeat": 1_700_000_000.0,
        "ttl": 60.0,
    }
    return Listing(**{**given, **changed})


def registration(url: str = "http://a.test:9002", **changed: Any) -> Registration:
    given: dict[str, Any] = {"service_name": "payment", "service_url": url, "ttl": 60.0}
    return Registration(**{**given, **changed})
