"""Settings of who callers are: JSON Web Tokens."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from runner.settings.containers import Many, Optional, Table, section
from runner.settings.scalars import Choice, Hidden, Text, Url
from runner.settings.secret import Secret

_SHARED: Final = ("HS256", "HS384", "HS512")
#: `none` is not among them, and never will be.
_ALGORITHMS: Final = (
    *_SHARED,
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt:
    """How a bearer token is checked."""

    algorithms: Annotated[tuple[str, ...], Many(of=Choice(words=_ALGORITHMS), least=1)] = ("HS256",)
    #: For the HS algorithms.
    secret: Annotated[Secret | None, Optional(of=Hidden())] = None
    #: Where public keys are published.
    jwks_url: Annotated[str | None, Optional(of=Url())] = None
    #: What `iss` and `aud` must say; None or empty: not asked.
    issuer: Annotated[str | None, Optional(of=Text())] = None
    audience: Annotated[tuple[str, ...] | None, Optional(of=Many(of=Text(), least=1))] = None
    #: PEM text by key id, or by `default`.
    keys: Annotated[Mapping[str, Secret], Table(of=Hidden(), name=r"[^\s]{1,256}")] = field(default_factory=dict)
    #: The claim that lists roles; dots lead into nested claims.
    roles_claim: Annotated[str, Text()] = "roles"
    #: Claims that a token must have.
    required_claims: Annotated[tuple[str, ...], Many(of=Text())] = ("exp",)

    def faults(self) -> Iterator[tuple[str, str]]:
        shared = [name for name in self.algorithms if name in _SHARED]
        public = [name for name in self.algorithms if name not in _SHARED]
        if shared and self.secret is None:
            yield "algorithms", f"names {shared[0]}, which needs `secret`; give one, or name other algorithms"
        if public and not self.keys and self.jwks_url is None:
            yield "algorithms", f"names {public[0]}, which needs `keys` or `jwksUrl`; give one of them"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Who may call."""

    jwt: Annotated[Jwt, section(Jwt)]
