"""A scope over plain data, for tests of expressions and templates."""

from dataclasses import dataclass, field

from registry.base.values import Json


@dataclass(frozen=True, slots=True)
class PlainScope:
    """A context from a document; notes what it was asked for."""

    document: dict[str, Json]
    asked: list[str] = field(default_factory=list)

    def root(self, name: str) -> Json:
        self.asked.append(name)
        return self.document.get(name)

    def field(self, step: str, name: str) -> Json:
        return self.view(step).get(name)

    def view(self, step: str) -> dict[str, Json]:
        self.asked.append(f"steps.{step}")
        found: dict[str, Json] = self.document.get("steps", {}).get(step, {})
        return found

    def steps(self) -> dict[str, Json]:
        self.asked.append("steps")
        found: dict[str, Json] = self.document.get("steps", {})
        return found
