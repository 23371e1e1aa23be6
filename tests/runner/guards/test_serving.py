"""A saga that relies on a guard which is missing is not served, however it is reached."""

import pytest

from runner.guards.serving import refusal
from tests.runner.definitions.sagas import only_saga

OPEN = "id: open\npath: /a\nmethods: [GET]\nsteps: [{name: one, set: 1}]\n"
ROLES = OPEN + "roles: [admin]\n"
VALIDATED = OPEN + "schema: {validated: true, input: {type: object}}\n"
MOCK = OPEN + "schema: {mock: true, output: {const: 1}}\n"


def test_an_open_saga_is_served() -> None:
    assert refusal([only_saga(OPEN)]) == ""


@pytest.mark.parametrize(("text", "word"), [(ROLES, "roles"), (VALIDATED, "validates"), (MOCK, "mock")])
def test_a_guarded_saga_is_not(text: str, word: str) -> None:
    why = refusal([only_saga(text)])
    assert word in why
    assert "open@1" in why


def test_a_saga_that_runs_a_validated_one_is_not_served_either() -> None:
    assert "which it runs" in refusal([only_saga(OPEN), only_saga(VALIDATED)])


@pytest.mark.parametrize("text", [ROLES, MOCK])
def test_roles_and_mocks_of_a_saga_that_is_run_do_not_count(text: str) -> None:
    assert refusal([only_saga(OPEN), only_saga(text)]) == ""
