"""Values that mask themselves wherever they are printed."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

MASK = "***"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secret:
    """Text that only `reveal` gives away; `str`, `repr`, logs and tracebacks see `shown`."""

    value: str = field(repr=False)
    #: What may be seen.
    shown: str = MASK

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self.value

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"Secret({self.shown})"


def secret_url(url: str) -> Secret:
    """A URL whose password and query, if it has any, are masked and whose rest may be seen."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a host in broken brackets: nothing of it can be told apart
        return Secret(value=url)
    shown = url
    if parts.password is not None:
        userinfo, _, place = parts.netloc.rpartition("@")
        shown = parts._replace(netloc=f"{userinfo.partition(':')[0]}:{MASK}@{place}").geturl()
    if parts.query:
        shown = shown.replace(f"?{parts.query}", f"?{MASK}")
    return Secret(value=url, shown=shown)
