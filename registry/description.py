"""What the API description says of the registry's bodies and refusals, where FastAPI cannot see it for itself."""

from http import HTTPStatus
from typing import Any, Final

#: The body of a registration for the API description; `registry.listing` is what checks it.
REGISTRATION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["service_name"],
    "properties": {
        "service_name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"},
        "service_url": {"type": "string", "format": "uri"},
        "host": {"type": "string"},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "service_id": {"type": "string"},
        "capabilities": {"type": "array", "items": {"type": "string"}, "default": []},
        "weight": {"type": "number", "minimum": 0, "default": 1},
        "zone": {"type": "string"},
        "version": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "metadata": {"type": "object"},
        "health_check_url": {"type": "string", "format": "uri"},
        "openapi_url": {"type": "string", "format": "uri"},
        "ttl": {"type": "number", "exclusiveMinimum": 0},
    },
}

#: A refusal (RFC 9457), with the plain text that clients of the first registry print.
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "error"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "error": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def refusals(*statuses: int) -> dict[int, dict[str, Any]]:
    """What an operation may answer besides, for the API description."""
    document = {"application/problem+json": {"schema": _PROBLEM}}
    return {status: {"description": HTTPStatus(status).phrase, "content": document} for status in statuses}
