"""When the next attempt is made. Pure: the jitter is seeded by run, step and attempt."""

import hashlib

from runner.saga.definition import Retry

#: No service may make us wait longer than this, whatever its `Retry-After` says (24 h, milliseconds).
LONGEST_AFTER = 86_400_000


def delay(policy: Retry, attempt: int, seed: str, after: int | None) -> int:
    """Milliseconds between the end of attempt number `attempt` (from 1) and the next one.

    `after` is what the service asked for; the longer of both counts.
    """
    if policy.backoff == "constant":
        wait = policy.delay
    elif policy.backoff == "linear":
        wait = policy.delay * attempt
    else:
        wait = policy.delay << min(attempt - 1, 40)
    wait = min(wait, policy.max_delay)
    if policy.jitter == "full":
        wait = int(wait * _fraction(f"{seed}#{attempt}"))
    return max(wait, min(after, LONGEST_AFTER)) if after is not None else wait


def spent(policy: Retry, attempt: int, first_at: int, next_at: int) -> bool:
    """Whether no further attempt may begin at `next_at` after `attempt` attempts since `first_at`."""
    if policy.attempts is not None and attempt >= policy.attempts:
        return True
    return policy.max_duration is not None and next_at - first_at > policy.max_duration


def _fraction(seed: str) -> float:
    """A number in [0, 1) that the seed alone decides."""
    return int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=6).digest(), "big") / (1 << 48)
