"""Settings from a mapping of names to text: typed values, and every error of the mapping as a sentence.

The mapping is an argument (an environment, a file already read, a test's dict); nothing here reads the
machine.
"""

import ipaddress
import math
from collections.abc import Mapping, Sequence


class WrongSettings(Exception):
    """One or more settings cannot be used; `errors` has a sentence for each, and so has the message."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__(" ".join(errors))
        self.errors = errors


class Env:
    """Reads typed values out of `values` and collects what is wrong, so that one run names every mistake.

    A name that is absent or empty gives the default. Call `done` after the last value. `spelled` has the names that
    were written otherwise, as in a file; `errors` are sentences found before.
    """

    def __init__(
        self, values: Mapping[str, str], *, spelled: Mapping[str, str] | None = None, errors: Sequence[str] = ()
    ) -> None:
        self._values = values
        self._spelled = spelled or {}
        self._errors = list(errors)

    def text(self, name: str, default: str, *, limit: int = 255) -> str:
        """Printable text of at most `limit` characters."""
        value = self._values.get(name, "").strip()
        if not value:
            return default
        if len(value) > limit or not value.isprintable():
            self.wrong(name, value, f"must be printable text of at most {limit} characters")
            return default
        return value

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        value = self._values.get(name, "").strip()
        if not value:
            return default
        try:
            number = int(value)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            self.wrong(name, value, f"must be a whole number from {low} to {high}")
            return default
        return number

    def seconds(self, name: str, default: float, *, high: float) -> float:
        """A number of seconds above 0 and not above `high`."""
        value = self._values.get(name, "").strip()
        if not value:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number <= high:
            self.wrong(name, value, f"must be a number of seconds above 0 and at most {high:g}")
            return default
        return number

    def share(self, name: str, default: float) -> float:
        """A number from 0 to 1, both included."""
        value = self._values.get(name, "").strip()
        if not value:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number <= 1:
            self.wrong(name, value, "must be a number from 0 to 1")
            return default
        return number

    def networks(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Networks as `10.0.0.0/8`, separated by commas or spaces."""
        entries = self._values.get(name, "").replace(",", " ").split()
        for entry in entries:
            try:
                ipaddress.ip_network(entry, strict=False)
            except ValueError:
                self.wrong(name, entry, "must be networks as 10.0.0.0/8, separated by commas")
                return default
        return tuple(entries) or default

    def done(self) -> None:
        """Raise `WrongSettings` if any value was wrong."""
        if self._errors:
            raise WrongSettings(tuple(self._errors))

    def wrong(self, name: str, value: str, rule: str) -> None:
        """Note that the value of `name` breaks `rule`."""
        self._errors.append(f"{self._spelled.get(name, name)} is {value[:80]!r}, but it {rule}.")

    def unusable(self, name: str, flaw: str) -> None:
        """The same without the value, which may be a secret."""
        self._errors.append(f"{self._spelled.get(name, name)} {flaw}.")
