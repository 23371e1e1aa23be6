"""`saga runs retry | skip | resolve | resume`: which runs, and what is told of each."""

import pytest

from tests.runner.cli.invoking import saga
from tests.runner.cli.scripted import Said, run, runner

RUNS = "GET /api/v1/runs"
TAKEN = Said(status=202, body={"run": "r-1", "status": "retried"})
MOVED = Said(status=409, body={"title": "The run cannot be retried", "detail": "it is not parked"})


def test_where_finds_the_runs_that_are_acted_on() -> None:
    page = {"runs": [run("parked", id="r-1"), run("parked", id="r-2")], "next": None}
    answers = {RUNS: [Said(body=page)], "POST /api/v1/runs/r-1/retry": [TAKEN], "POST /api/v1/runs/r-2/retry": [MOVED]}
    with runner(answers) as served:
        where = "saga=a status=parked label='orderId:4 2' since=2026-01-31T12:00:00Z"
        result = saga("runs", "retry", "--where", where, "--server", served.url)
    assert served.asked[0].target == (
        "/api/v1/runs?saga=a&status=parked&label=orderId%3A4+2&since=2026-01-31T12%3A00%3A00Z&limit=1000"
    )
    assert (result.exit_code, result.stdout) == (1, "r-1\n")
    assert result.stderr.splitlines() == [
        "r-2: 409 The run cannot be retried: it is not parked",
        "Error: 1 could not be; see how they stand: saga runs show RUN",
    ]


@pytest.mark.parametrize(
    "where", ["colour=red", "status", "status=", "=parked", "label=a:b label=c:d", "label='a:b", "parked"]
)
def test_a_filter_that_is_none_is_a_usage_error_and_nothing_is_asked(where: str) -> None:
    with runner({}) as served:
        result = saga("runs", "retry", "--where", where, "--server", served.url)
    assert (result.exit_code, served.asked) == (2, [])


@pytest.mark.parametrize("arguments", [(), ("r-1", "--where", "status=parked"), ("--where", "")])
def test_runs_are_named_or_found_and_not_both(arguments: tuple[str, ...]) -> None:
    with runner({}) as served:
        result = saga("runs", "resume", *arguments, "--server", served.url)
    assert (result.exit_code, served.asked) == (2, [])


def test_that_no_run_is_so_and_that_there_are_more_is_said() -> None:
    pages = [Said(body={"runs": [], "next": None}), Said(body={"runs": [run("parked")], "next": "c"})]
    with runner({RUNS: pages, "POST /api/v1/runs/r-1/retry": [TAKEN]}) as served:
        none = saga("runs", "retry", "--where", "status=parked", "--server", served.url)
        more = saga("runs", "retry", "--where", "status=parked", "--server", served.url)
    assert (none.exit_code, none.stderr) == (0, "No run is so.\n")
    assert (more.exit_code, more.stdout) == (0, "r-1\n")
    assert "There are more than 1000" in more.stderr


def test_a_filter_that_the_runner_refuses_is_told_with_its_reason() -> None:
    errors = [{"pointer": "/query/label", "detail": "write it as `name:value`"}]
    refused = Said(status=422, body={"title": "The request does not fit", "errors": errors})
    with runner({RUNS: [refused]}) as served:
        result = saga("runs", "retry", "--where", "label=x", "--server", served.url)
    assert result.exit_code == 1
    assert result.stderr == "Error: 422 The request does not fit: /query/label: write it as `name:value`\n"
