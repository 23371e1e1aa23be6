"""What this runner must not serve: sagas that rely on a guard which it does not have yet. It never fails open."""

from collections.abc import Iterable

from runner.saga.definition import Saga


def refusal(sagas: Iterable[Saga]) -> str:
    """Why a saga (given with every saga that it runs) is not served; empty where it is."""
    for at, saga in enumerate(sagas):
        whose = "" if at == 0 else f" (in {saga.ref}, which it runs)"
        if at == 0 and (saga.roles or any(saga.hop_roles)):
            return f"{saga.ref} asks for roles, and this runner cannot authenticate callers yet."
        if saga.schema.validated:
            return f"{saga.ref} validates its input{whose}, and this runner cannot do that yet."
        if at == 0 and saga.schema.mock:
            return f"{saga.ref} is a mock, and this runner cannot make its output yet."
    return ""
