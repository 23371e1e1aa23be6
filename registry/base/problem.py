"""RFC 9457 problem details as a value."""

from dataclasses import dataclass, field, replace

from registry.base.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One refusal or failure, as told to a caller (RFC 9457, `application/problem+json`)."""

    #: HTTP status, 400-599.
    status: int
    #: Stable word for the problem; the page `/docs/problems/<code>` explains it.
    code: str
    #: One line that is the same for every occurrence.
    title: str
    #: A sentence about this occurrence: what was wrong, where, how to mend it.
    detail: str = ""
    #: The URL path (or urn) of this occurrence.
    instance: str = ""
    #: Absolute URI that replaces the documentation page as `type`.
    type: str = ""
    #: `{pointer, detail}` items: every error of a request, not only the first.
    errors: tuple[dict[str, str], ...] = ()
    #: Extension members.
    extra: dict[str, Json] = field(default_factory=dict)
    #: HTTP headers that belong to the answer (`Retry-After`, `Allow`, ...).
    headers: dict[str, str] = field(default_factory=dict)

    def at(self, path: str) -> "Problem":
        """The same, with the path that was asked for as its instance, unless it has one of its own."""
        return self if self.instance else replace(self, instance=path)

    def body(self) -> dict[str, Json]:
        """The document: `{type, title, status, detail?, instance?, code, errors?, ...extra}`."""
        out: dict[str, Json] = {
            "type": self.type or f"/docs/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            out["detail"] = self.detail
        if self.instance:
            out["instance"] = self.instance
        if self.errors:
            out["errors"] = list(self.errors)
        out.update(self.extra)
        return out
