"""The management API and the registry's, asked whatever their own descriptions allow and much that they forbid."""

from collections.abc import Callable

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.processes import Server

pytestmark = pytest.mark.process

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

#: It goes on for ever; tests/registry/pages/test_changes.py asks it.
ENDLESS = "GET /api/v1/services/watch"

Url = Callable[[Server], str]


def runner(shop: Server) -> str:
    return shop.url


def registry(shop: Server) -> str:
    return shop.registry


def attacked(url: str, examples: int) -> None:
    """Ask every operation so many times, and collect what failed, so that one run shows all of it."""
    failures: list[str] = []
    operations = [
        found.ok() for found in schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json").get_all_operations()
    ]
    operations = [operation for operation in operations if operation.label != ENDLESS]
    assert operations
    for operation in operations:

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            if case.query and "index" in case.query:  # a question that would wait longer than we do
                case.query["wait"] = "10ms"
            case.call_and_validate(checks=CHECKS, timeout=10)

        try:
            ask()
        except BaseExceptionGroup as several:
            failures.append(f"{operation.label}: {several.exceptions}")
        except Exception as failure:
            failures.append(f"{operation.label}: {failure}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("of", [runner, registry])
def test_every_operation_answers_as_it_is_described(shop: Server, of: Url) -> None:
    attacked(of(shop), examples=5)


@pytest.mark.slow
@pytest.mark.parametrize("of", [runner, registry])
def test_every_operation_answers_as_it_is_described_whatever_it_is_asked(shop: Server, of: Url) -> None:
    attacked(of(shop), examples=200)
