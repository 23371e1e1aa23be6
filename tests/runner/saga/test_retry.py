"""When the next attempt is made: bounds, growth, what a service asks for, and that chance is a seed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.saga.definition import Retry
from runner.saga.retry import LONGEST_AFTER, delay, spent

policies = st.builds(
    Retry,
    delay=st.integers(0, 100_000),
    max_delay=st.integers(0, 1_000_000),
    backoff=st.sampled_from(["exponential", "linear", "constant"]),
    jitter=st.sampled_from(["full", "none"]),
)


def test_exponential_doubles_until_the_longest_delay() -> None:
    policy = Retry(delay=200, max_delay=1000, jitter="none")
    assert [delay(policy, n, "s", None) for n in range(1, 6)] == [200, 400, 800, 1000, 1000]


def test_linear_grows_by_the_delay_and_constant_stays() -> None:
    linear = Retry(delay=200, backoff="linear", jitter="none")
    constant = Retry(delay=200, backoff="constant", jitter="none")
    assert [delay(linear, n, "s", None) for n in range(1, 4)] == [200, 400, 600]
    assert [delay(constant, n, "s", None) for n in range(1, 4)] == [200, 200, 200]


def test_a_delay_after_very_many_attempts_is_still_the_longest_one() -> None:
    assert delay(Retry(jitter="none"), 100_000, "s", None) == 10_000


def test_what_a_service_asks_for_counts_where_it_is_longer() -> None:
    policy = Retry(delay=200, jitter="none")
    assert delay(policy, 1, "s", 5_000) == 5_000
    assert delay(policy, 1, "s", 50) == 200


def test_no_service_makes_us_wait_longer_than_a_day() -> None:
    assert delay(Retry(), 1, "s", 10 * LONGEST_AFTER) == LONGEST_AFTER


@given(policies, st.integers(1, 200), st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_a_delay_is_within_its_bounds_and_the_same_each_time(policy: Retry, attempt: int, seed: str) -> None:
    wait = delay(policy, attempt, seed, None)
    assert 0 <= wait <= policy.max_delay
    assert wait == delay(policy, attempt, seed, None)


def test_full_jitter_spreads_over_the_whole_delay() -> None:
    policy = Retry(delay=1000, backoff="constant", jitter="full")
    waits = [delay(policy, 1, f"run{n}", None) for n in range(500)]
    assert min(waits) < 50
    assert max(waits) > 950
    assert 450 < sum(waits) / len(waits) < 550


def test_attempts_count_the_first_try() -> None:
    policy = Retry(attempts=3)
    assert [spent(policy, n, 0, 0) for n in (1, 2, 3, 4)] == [False, False, True, True]


def test_max_duration_bounds_when_the_next_try_begins() -> None:
    policy = Retry(attempts=None, max_duration=1000)
    assert not spent(policy, 10_000, 500, 1500)
    assert spent(policy, 1, 500, 1501)
