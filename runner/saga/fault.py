"""Failure as a value: what a saga must live with."""

import msgspec

from registry.base.values import Json
from runner.saga.definition import BUILT_IN_KINDS


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a step, a block or a run did not succeed. Journaled, compensated for, told as a problem."""

    #: Built-in kind, status as text (`"409"`), or raised type.
    kind: str
    #: HTTP status: the service's, or the `raise`'s own; 0: none.
    status: int = 0
    detail: str = ""
    #: How messages call the step where it began.
    step: str = ""
    #: The answer's body, for expressions only.
    body: Json = None
    #: The answer's headers, lower case with `_`, for expressions only.
    headers: dict[str, str] = {}
    #: Set by `raise`: what the caller's problem document says.
    title: str = ""
    #: `raise`: its `errors`, as written.
    errors: Json = None
    #: Whether a `raise` made it.
    raised: bool = False

    def view(self) -> dict[str, Json]:
        """As expressions see it under `error`."""
        return {
            "kind": self.kind,
            "status": self.status or None,
            "detail": self.detail,
            "step": self.step,
            "body": self.body,
            "headers": self.headers,
        }


def named(kinds: tuple[str, ...], fault: Fault) -> bool:
    """Whether a list of `errors` names this fault: by word, status, class, or `any` (all but `expression`)."""
    if fault.kind in kinds:
        return True
    if "any" in kinds:
        return fault.kind != "expression"
    return not fault.raised and fault.kind[:1].isdigit() and f"{fault.kind[0]}xx" in kinds


def named_outright(kinds: tuple[str, ...], fault: Fault) -> bool:
    """Whether the list names it by its very word or status, not by class or `any`."""
    return fault.kind in kinds


def is_built_in(kind: str) -> bool:
    """Whether no `raise` may use this word."""
    return kind in BUILT_IN_KINDS or kind in ("any", "4xx", "5xx", "3xx") or (kind.isdigit() and len(kind) == 3)
