"""What the API description says of the registry's bodies and refusals, where FastAPI cannot see it for itself."""

from http import HTTPStatus
from typing import Any, Final

from registry.listing import HEALTH, POLICIES

_TEXT: Final = {"type": "string"}
_MAYBE: Final = {"type": ["string", "null"]}
_NUMBER: Final = {"type": "number"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_FLAG: Final = {"type": "boolean"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_TIME: Final = {"type": "string", "format": "date-time"}
_OBJECT: Final = {"type": "object"}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


#: The body of a registration; `registry.form` is what checks it.
REGISTRATION: Final[dict[str, Any]] = _object(
    {"service_name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}},
    service_url={"type": "string", "format": "uri"},
    host=_TEXT,
    port={"type": "integer", "minimum": 1, "maximum": 65535},
    service_id=_TEXT,
    capabilities={**_TEXTS, "default": []},
    weight={"type": "number", "minimum": 0, "default": 1},
    zone=_TEXT,
    version=_TEXT,
    tags=_TEXTS,
    metadata=_OBJECT,
    health_check_url={"type": "string", "format": "uri"},
    openapi_url={"type": "string", "format": "uri"},
    ttl={"type": "number", "exclusiveMinimum": 0},
)

#: The body of a change; null gives a member back to the instance.
CHANGE: Final[dict[str, Any]] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "drained": {"type": ["boolean", "null"]},
        "health": {"enum": [*HEALTH, None]},
        "weight": {"type": ["number", "null"], "minimum": 0},
        "capabilities": {"type": ["array", "null"], "items": _TEXT},
        "zone": _MAYBE,
        "version": _MAYBE,
        "tags": {"type": ["array", "null"], "items": _TEXT},
        "metadata": {"type": ["object", "null"]},
        "health_check_url": _MAYBE,
        "openapi_url": _MAYBE,
    },
}

_RECORD: Final = _object(
    {
        "service_name": _TEXT,
        "service_url": _TEXT,
        "service_id": _TEXT,
        "registered_at": _TIME,
        "last_heartbeat": _TIME,
        "capabilities": _TEXTS,
    },
    weight=_NUMBER,
    zone=_MAYBE,
    version=_MAYBE,
    tags=_TEXTS,
    metadata=_OBJECT,
    health_check_url=_MAYBE,
    openapi_url=_MAYBE,
    drained=_FLAG,
    health={"enum": list(HEALTH)},
    ttl=_NUMBER,
)


def _record(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """A record with more members."""
    return {"allOf": [_RECORD, _object(required, **optional)]}


_INSTANCES: Final = {"instances": _list(_RECORD), "index": _COUNT}
_SERVICE: Final = _record(_INSTANCES, protected=_FLAG, stale=_FLAG)

_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "Told": _record({"ttl": _NUMBER, "heartbeat_interval": _NUMBER}),
    "Service": {"anyOf": [_SERVICE, _object(_INSTANCES, stale=_FLAG)]},
    "Services": _object({"services": _list(_SERVICE), "count": _COUNT, "next": _MAYBE}, stale=_FLAG),
    "Instance": _record({"overridden": _OBJECT}, stale=_FLAG),
    "Removed": _object({"service_name": _TEXT, "removed": _list(_RECORD)}),
    "Choice": _object(
        {
            "service": _TEXT,
            "policy": {"enum": list(POLICIES)},
            "chosen": {"anyOf": [_RECORD, {"type": "null"}]},
            "protected": _FLAG,
            "reasons": _list(
                _object({"service_id": _TEXT, "service_url": _TEXT, "verdict": _TEXT, "detail": _TEXT}),
            ),
        },
        version=_MAYBE,
        zone=_MAYBE,
        capability=_MAYBE,
        key=_MAYBE,
        stale=_FLAG,
    ),
    "Targets": _list(_object({"targets": _TEXTS, "labels": {"type": "object", "additionalProperties": _TEXT}})),
    "Audit": _object(
        {
            "entries": _list(
                _object(
                    {
                        "id": _TEXT,
                        "at": _TIME,
                        "who": _TEXT,
                        "what": _TEXT,
                        "service_name": _TEXT,
                        "service_id": _TEXT,
                        "before": {"type": ["object", "null"]},
                        "after": {"type": ["object", "null"]},
                    }
                )
            )
        }
    ),
    "State": _object({"status": _TEXT, "timestamp": _TIME}),
    "Health": _object(
        {
            "status": {"enum": ["healthy", "unhealthy"]},
            "service": _TEXT,
            "version": _TEXT,
            "redis": {"enum": ["connected", "disconnected", "embedded"]},
            "cache": _object(
                {"size": _COUNT, "hits": _COUNT, "misses": _COUNT, "hit_ratio": _NUMBER, "last_refresh": _TIME}
            ),
        }
    ),
}
_MEDIA: Final = {
    "events": {"text/event-stream": _object({"id": _TEXT, "event": _TEXT, "data": _TEXT})},
    "figures": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT},
}

#: A refusal (RFC 9457), with the plain text that clients of the first registry print.
_PROBLEM: Final[dict[str, Any]] = _object(
    {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": _TEXT,
        "error": _TEXT,
    },
    detail=_TEXT,
    errors=_list(_object({"pointer": _TEXT, "detail": _TEXT})),
)


def document(*names: str) -> dict[str, Any]:
    """The content of an answer: each name is one of `_SCHEMAS`, as JSON, or of `_MEDIA`."""
    content: dict[str, Any] = {}
    for name in names:
        if name in _SCHEMAS:
            content["application/json"] = {"schema": _SCHEMAS[name]}
        else:
            content.update({media: {"schema": schema} for media, schema in _MEDIA[name].items()})
    return {"content": content}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an operation may answer besides, for the API description."""
    content = {"application/problem+json": {"schema": _PROBLEM}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
