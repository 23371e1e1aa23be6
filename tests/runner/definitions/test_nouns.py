"""What a definition means: defaults, merged blocks, paths and places of steps, and what of them is read."""

from typing import Any

import pytest

from runner.definitions.world import World
from runner.saga.definition import Breaker, CatchEntry, Compensation, Retry, Saga, Step, Timer
from runner.steps.call import Call
from runner.steps.for_ import For
from runner.steps.fork import Fork
from runner.steps.switch import Switch
from runner.steps.wait import Wait
from tests.runner.definitions.sagas import SETTINGS, loaded, only_saga, step_of


def header(text: str) -> Saga:
    return only_saga(f"id: a\npath: /a\nmethods: [POST]\n{text}\nsteps: [{{name: one, set: 1}}]\n")


def inner(step: Step) -> tuple[Step, ...]:
    verb = step.verb
    if isinstance(verb, Switch):
        return verb.cases[0].steps
    if isinstance(verb, Fork):
        return next(iter(verb.branches.values()))
    assert isinstance(verb, For)
    return verb.steps


def test_a_header_that_says_nothing_has_the_defaults() -> None:
    saga = loaded("steps: [{name: one, set: 1}]\n", file="some/order.saga.yaml").catalog.get("order")
    assert saga is not None
    assert (saga.id, saga.version, saga.name, saga.domain, saga.status) == ("order", 1, "order", "default", "active")
    assert (saga.path, saga.streams, saga.runners, saga.roles, saga.methods) == (None, (), (), (), ())
    assert (saga.auto_fail, saga.durable, saga.respond, saga.reply.status) == (True, True, "result", 200)
    assert (saga.cache, saga.breaker, saga.timer, saga.deprecated, saga.extra_payload) == (None,) * 3 + (False, None)
    assert saga.compensation == Compensation()
    assert saga.executed == ("order", 1)


def test_a_file_name_that_is_no_slug_needs_an_id() -> None:
    result = loaded("path: /a\nsteps: [{name: one, set: 1}]\n", file="Place Order.yaml")
    assert [finding.code for finding in result.findings] == ["SG103"]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("7d", 604_800_000), ("'30s'", 30_000)],
)
def test_durations_are_read_as_milliseconds(text: str, milliseconds: int) -> None:
    assert header(f"timeout: {text}").timeout == milliseconds


def test_a_bare_integer_is_milliseconds_in_the_fields_of_the_form() -> None:
    breaker = header("circuitBreaker: {waitDurationInOpenState: 1500, slowCallDurationThreshold: 2s}").breaker
    assert breaker == Breaker(wait_duration_in_open_state=1500, slow_call_duration_threshold=2000)
    timer = header("runners: [shop]\ntimer: {period: 1.5, unit: minutes, initialDelay: 500}").timer
    assert timer == Timer(period=90_000, initial_delay=500)


def test_cron_wins_over_period() -> None:
    timer = header("runners: [shop]\ntimer: {period: 5, cron: '@daily', timeZone: UTC, maxRepeat: 0}").timer
    assert timer == Timer(cron="@daily", time_zone="UTC", max_repeat=0)


def test_methods_are_upper_case_and_stand_once() -> None:
    saga = only_saga("id: a\npath: /a\nmethods: [post, Post, GET]\nsteps: [{name: one, set: 1}]\n")
    assert saga.methods == ("POST", "GET")


def test_the_timeout_of_a_saga_without_one_depends_on_its_steps_and_its_path() -> None:
    text = """
        id: a
        path: /a
        steps: [{name: one, set: 1}]
        ---
        id: waits
        path: /w
        steps: [{name: one, switch: [{when: input.x, steps: {wait: 1h}}]}]
        ---
        id: runs
        path: /r
        steps: [{name: one, run: {saga: waits}}]
        ---
        id: runs-fast
        path: /f
        steps: [{name: one, run: {saga: pathless}}]
        ---
        id: pathless
        steps: [{name: one, set: 1}]
        ---
        id: limited
        path: /l
        timeout: 2h
        steps: [{name: one, wait: 1h}]
        """
    catalog = loaded(text).catalog
    assert {saga.id: saga.timeout for saga in catalog} == {
        "a": 30_000, "waits": None, "runs": None, "runs-fast": 30_000, "pathless": None, "limited": 7_200_000,
    }  # fmt: skip


def test_a_compensation_block_takes_missing_values_from_its_own_row() -> None:
    policy = header("compensation: {order: parallel, retry: {delay: 1s}, onExhausted: fail}").compensation
    assert (policy.order, policy.on_exhausted) == ("parallel", "fail")
    assert policy.retry == Retry(attempts=None, max_duration=86_400_000, delay=1000, max_delay=300_000, errors=("any",))


def call(text: str) -> Step:
    return step_of(f"- name: one\n  call: {{service: stock, path: /x, method: GET}}\n{text}")


def test_a_step_has_the_timeout_of_its_verb() -> None:
    assert call("").timeout == 10_000
    assert call("  timeout: 3s").timeout == 3000
    assert step_of("- name: one\n  emit: {stream: placed}").timeout == 30_000
    assert step_of("- name: one\n  listen: {signal: go}").timeout is None


@pytest.mark.parametrize(
    ("text", "retry"),
    [
        ("{}", Retry()),
        ("{attempts: 5, delay: 1s}", Retry(attempts=5, delay=1000)),
        ("{maxDuration: 1m}", Retry(attempts=None, max_duration=60_000)),
        ("{maxDuration: 1m, attempts: 2}", Retry(attempts=2, max_duration=60_000)),
        ("{errors: [409, 5xx], backoff: linear}", Retry(errors=("409", "5xx"), backoff="linear")),
        ("standard", Retry(attempts=4, delay=300)),
    ],
)  # fmt: skip
def test_a_retry_block_takes_missing_values_from_the_defaults(text: str, retry: Retry) -> None:
    assert call(f"  retry: {text}").retry == retry
    assert call("").retry is None


def test_with_expect_a_retry_block_tries_the_unexpected_again_too() -> None:
    text = "- name: one\n  call: {service: s, method: GET, expect: output.ready}\n  retry: {attempts: 2}"
    retry = step_of(text).retry
    assert retry is not None
    assert retry.errors == ("unreachable", "timeout", "429", "5xx", "unexpected")


def test_without_settings_a_named_policy_is_taken_on_trust() -> None:
    text = "- name: one\n  call: {service: s, method: GET}\n  retry: anything"
    assert step_of(text, World()).retry == Retry()


def test_catch_continue_takes_everything_and_gives_null() -> None:
    [entry] = call("  catch: continue").catch or ()
    assert (entry.errors, entry.steps, entry.when) == (("any",), (), None)
    assert entry.output is not None
    assert (entry.output.constant, entry.output.value) == (True, None)


def test_a_catch_entry_keeps_its_kinds_as_text() -> None:
    [entry] = call("  catch:\n    - errors: [409, timeout, 5xx]\n      output: 1").catch or ()
    assert isinstance(entry, CatchEntry)
    assert entry.errors == ("409", "timeout", "5xx")


def test_compensate_none_is_told_from_no_compensate() -> None:
    assert call("").compensate is None
    assert call("  compensate: none").compensate == ()


def test_idempotent_is_told_from_its_default() -> None:
    assert call("").idempotent is None
    assert call("  idempotent: true").idempotent is True


def test_a_constant_wait_is_milliseconds_and_a_filled_one_is_not_yet_known() -> None:
    constant, filled = step_of("- name: one\n  wait: 5m").verb, step_of("- name: one\n  wait: ${ input.d }").verb
    assert isinstance(constant, Wait)
    assert isinstance(filled, Wait)
    assert constant.duration == 300_000
    assert not isinstance(filled.duration, int | None)


def test_a_call_is_post_where_a_body_stands() -> None:
    verb = step_of("- name: one\n  call: {service: s, body: {}}\n  compensate: none").verb
    assert isinstance(verb, Call)
    assert (verb.method, verb.effects) == ("POST", True)


def test_paths_lead_from_the_root_to_a_step() -> None:
    steps = only_saga("""
        id: a
        path: /a
        methods: [POST]
        steps:
          - name: choose
            switch:
              - {when: input.x, steps: {name: x, set: 1}}
              - otherwise: [{name: y, set: 1}]
          - name: both
            fork: {branches: {left: {set: 1}, right: [{name: r, set: 1}]}}
          - name: loop
            for:
              each: i
              in: input.l
              steps:
                - name: turn
                  call: {service: s, body: {}}
                  compensate:
                    - set: 1
                    - {name: last, set: 2}
          - name: ship
            call: {service: s, body: {}}
            compensate: {set: 1}
            catch:
              - {errors: [409], steps: {raise: {type: t}}}
              - errors: [any]
                steps:
                  - {name: c, set: 1}
                  - raise: {type: u}
        """).steps
    choose, both, loop, ship = steps
    assert [case.steps[0].trail for case in choose.verb.cases] == [("choose", "0", "x"), ("choose", "1", "y")]  # type: ignore[attr-defined]
    left, right = both.verb.branches.values()  # type: ignore[attr-defined]
    assert (left[0].name, left[0].trail, left[0].place) == ("left", ("both", "left", "left"), "left")
    assert right[0].trail == ("both", "right", "r")
    [turn] = inner(loop)
    assert turn.trail == ("loop", None, "turn")
    assert [(s.segment, s.trail, s.place) for s in turn.compensate or ()] == [
        ("0", ("loop", None, "turn", "$undo", "0"), "turn.compensate[0]"),
        ("last", ("loop", None, "turn", "$undo", "last"), "last"),
    ]
    first, second = ship.catch or ()
    assert [(s.trail, s.place) for s in first.steps] == [(("ship", "$catch.0", "0"), "ship.catch[0]")]
    assert [(s.trail, s.place) for s in second.steps] == [
        (("ship", "$catch.1", "c"), "c"),
        (("ship", "$catch.1", "1"), "ship.catch[1][1]"),
    ]
    assert [s.place for s in ship.compensate or ()] == ["ship.compensate"]


def test_a_step_knows_what_of_it_is_read() -> None:
    saga = only_saga("""
        id: a
        path: /a
        output: {o: "${ steps.one.output.id }", s: "${ steps.two.status }", w: "${ steps.three }"}
        steps:
          - {name: one, set: 1}
          - {name: two, set: 1, when: steps.one.error}
          - {name: three, set: 1}
          - {name: four, set: 1}
        """)
    assert [set(step.read) for step in saga.steps] == [{"output", "error"}, {"status"}, {"*"}, set()]


def test_fork_branches_keep_their_order() -> None:
    verb = step_of("- name: one\n  fork: {branches: {z: {set: 1}, a: {set: 1}, m: {set: 1}}}").verb
    assert isinstance(verb, Fork)
    assert list(verb.branches) == ["z", "a", "m"]


def test_marks_say_where_a_saga_and_a_step_were_written() -> None:
    saga = only_saga("\nid: a\npath: /a\nsteps:\n  - name: one\n    set: 1\n")
    assert saga.mark is not None
    assert (saga.mark.file, saga.mark.line, saga.mark.column) == ("a.yaml", 2, 1)
    assert saga.steps[0].mark is not None
    assert (saga.steps[0].mark.line, saga.steps[0].mark.column) == (5, 5)


@pytest.mark.parametrize(
    ("text", "value"),
    [("input.id", ("input.id", True)), ("{key: input.id, compare: false}", ("input.id", False))],
)
def test_an_idempotency_key_may_say_that_payloads_are_not_compared(text: str, value: Any) -> None:
    key = header(f"idempotencyKey: {text}").idempotency_key
    assert key is not None
    assert (key.key.text, key.compare) == value


def test_what_is_not_in_force_yet_is_said_apart_from_the_findings() -> None:
    result = loaded("id: a\npath: /a\nstreams: [orders]\ncircuitBreaker: {}\nsteps: [{name: one, set: 1}]\n", SETTINGS)
    assert result.findings == ()
    assert [sentence.split(" is ")[0] for sentence in result.not_yet] == [
        "a: circuitBreaker",
        "a: the Kafka stream orders",
    ]
