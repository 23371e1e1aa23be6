"""A scope over plain data, for tests of expressions and templates."""

from dataclasses import dataclass, field

from registry.base.values import Json


@dataclass(frozen=True, slots=True)
class PlainStep:
    """One step: its fields as a mapping."""

    fields: dict[str, Json]

    def field(self, name: str) -> Json:
        return self.fields.get(name)

    def view(self) -> dict[str, Json]:
        return self.fields


@dataclass(frozen=True, slots=True)
class PlainScope:
    """A context from a document; notes what it was asked for."""

    document: dict[str, Json]
    asked: list[str] = field(default_factory=list)

    def root(self, name: str) -> Json:
        self.asked.append(name)
        return self.document.get(name)

    def step(self, name: str) -> PlainStep:
        self.asked.append(f"steps.{name}")
        return PlainStep(self.document.get("steps", {}).get(name, {}))

    def steps(self) -> dict[str, Json]:
        self.asked.append("steps")
        found: dict[str, Json] = self.document.get("steps", {})
        return found
