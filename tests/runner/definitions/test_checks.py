"""Where a rule ends: what is allowed beside what `tests/broken` shows to be refused."""

from dataclasses import replace

import pytest

from runner.definitions.cron import known_zone, wrong_with_cron
from tests.runner.definitions.sagas import SETTINGS, codes

CALL = "call: {service: s, body: 1}"
ONE = "steps: [{name: one, set: 1}]"

#: What stands in each is right, and nothing is found in it.
ALLOWED = {
    "no steps beside a mock": "id: a\npath: /a\nschema: {mock: true, output: {const: 1}}",
    "roles where auth is set up": f"id: a\npath: /a\nroles: [buyer]\n{ONE}",
    "no methods where nothing has an effect": "id: a\npath: /a\nsteps: [{name: one, call: {service: s, method: GET}}]",
    "no methods on a path for records": f"id: a\npath: /On_orders\nsteps: [{{name: one, {CALL}, compensate: none}}]",
    "a comment behind a text": f"id: a\npath: /a\nname: a # one\n{ONE} #one\noutput: b # two",
    "no methods where HTTP is not among the streams": (
        f"id: a\npath: /a\nstreams: [orders]\nsteps: [{{name: one, {CALL}, compensate: none}}]"
    ),
    "no methods on a draft": f"id: a\npath: /a\nstatus: draft\nsteps: [{{name: one, {CALL}, compensate: none}}]",
    "a draft that nothing reaches": f"id: a\nstatus: draft\n{ONE}",
    "a path like a reserved one": f"id: a\npath: /apis/metrics\n{ONE}",
    "a path with a slash at its end": f"id: a\npath: /a/\n{ONE}",
    "the root": f"id: a\npath: /\n{ONE}",
    "records of a stream that is allowed": f"id: a\npath: /On_orders\nstreams: [orders, http]\n{ONE}",
    "autoFail false with catches": (
        "id: a\npath: /a\nmethods: [POST]\nautoFail: false\nsteps:\n"
        f"  - {{name: one, {CALL}, catch: continue, compensate: {{call: {{service: s, body: 1}}}}}}\n"
        "  - {name: two, set: 1}"
    ),
    "a raise in the pivot's own catch": (
        "id: a\npath: /a\nmethods: [POST]\nsteps:\n"
        f"  - {{name: one, pivot: true, {CALL}, catch: [{{errors: [409], steps: {{raise: {{type: t}}}}}}]}}"
    ),
    "effects after the pivot that nothing undoes": (
        f"id: a\npath: /a\nmethods: [POST]\nsteps: [{{name: one, pivot: true, {CALL}}}, {{name: two, {CALL}}}]"
    ),
    "a return in a switch and in a sequential loop": (
        "id: a\npath: /a\nsteps:\n  - {name: s, switch: [{when: input.x, steps: {return: 1}}]}\n"
        "  - {name: f, for: {each: i, in: input.l, steps: {return: 1}}}"
    ),
    "a saga that is not durable and only reads": (
        "id: a\npath: /a\ndurable: false\nsteps:\n  - {name: one, call: {service: s, method: HEAD}}\n"
        "  - {name: f, fork: {branches: {b: {set: 1}}}}\n  - raise: {type: t}"
    ),
    "a wait that is shorter than the timeout": "id: a\npath: /a\ntimeout: 1h\nsteps: [{name: one, wait: 1h}]",
    "a minimum that is not written": f"id: a\npath: /a\ncircuitBreaker: {{slidingWindowSize: 20}}\n{ONE}",
    "a cache key that holds what is read of the caller": (
        "id: a\npath: /a\ncache: {key: '[input.sku, event.subject]'}\nsteps: [{name: one, set: '${ event.subject }'}]"
    ),
    "a cache without a key where only input is read": (
        "id: a\npath: /a\ncache: {ttl: 5s}\nsteps: [{name: one, set: '${ input }'}]"
    ),
    "a cache that is switched off": (
        "id: a\npath: /a\ncache: {enabled: false}\nsteps: [{name: one, set: '${ event.subject }'}]"
    ),
    "an undo that does not read the answer": (
        "id: a\npath: /a\nmethods: [POST]\nsteps:\n"
        f"  - {{name: one, {CALL}, compensate: {{call: {{service: s, method: PUT, path: '/${{ steps.one.key }}'}}}}}}"
    ),
    "a statement about the run in a label": f"id: a\npath: /a\nlabels: {{run: '${{ saga.runId }}'}}\n{ONE}",
    "statuses, classes and words as error kinds": (
        "id: a\npath: /a\nsteps: [{name: one, call: {service: s, method: GET},"
        " catch: [{errors: [404, 4xx, 5xx, timeout, circuitOpen, any], output: 1}]}]"
    ),
    "text with a dollar sign": "id: a\npath: /a\nsteps: [{name: one, set: 'costs $5 or $${amount}'}]",
    "headers of a service without its secret": (
        "id: a\npath: /a\nsteps: [{name: one, call: {service: s, method: GET, headers: {accept: text/plain}}}]"
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", ALLOWED.values(), ids=ALLOWED)
def test_nothing_is_found_in(text: str) -> None:
    assert codes(text) == []


def test_a_cache_sees_what_its_children_read_of_the_event() -> None:
    text = """
        id: a
        path: /a
        cache: {ttl: 5s}
        steps: [{name: one, run: {saga: b}}]
        ---
        id: b
        steps: [{name: one, set: "${ event.headers.accept_language }"}]
        """
    assert codes(text) == ["SG228"]


def test_effects_of_a_child_count_for_the_methods() -> None:
    text = f"""
        id: a
        path: /a
        steps: [{{name: one, run: {{saga: b}}}}]
        ---
        id: b
        steps: [{{name: one, {CALL}, compensate: none}}]
        """
    assert codes(text) == ["SG403"]


def test_a_raw_url_is_allowed_by_the_settings_and_better_encrypted() -> None:
    world = replace(SETTINGS, raw_urls=True)
    step = "id: a\npath: /a\nsteps: [{{name: one, call: {{url: '{}', method: GET}}}}]"
    assert codes(step.format("https://x.example/"), world) == []
    assert codes(step.format("http://127.0.0.1:8080/"), world) == []
    assert codes(step.format("http://x.example/"), world) == ["SG502"]


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *", "*/5 * * * *", "0 0 1 1 *", "30 6 * * mon-fri", "0 30 6 * * MON-FRI", "0 0 ? * 7",
        "0 0 1 * ?",
        "@hourly", "@Daily", "0,30 8-18/2 * jan,jul 0", "0 0 29 2 *", "5/15 * * * *", "0 0 31 2 mon",
    ],
)  # fmt: skip
def test_cron_texts_are_taken(text: str) -> None:
    assert wrong_with_cron(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *",
        "* * * * 8",
        "? * * * *", "*/0 * * * *", "5-1 * * * *", "a * * * *", "*-5 * * * *", "@never", "0 0 30 2 *", "* * 1,? * *",
    ],
)  # fmt: skip
def test_cron_texts_that_cannot_be_kept_are_refused_with_a_sentence(text: str) -> None:
    assert wrong_with_cron(text)


def test_time_zones_are_known_by_their_names() -> None:
    assert known_zone("UTC")
    assert known_zone("Europe/Berlin")
    assert not known_zone("Europe/Atlantis")
    assert not known_zone("../etc/passwd")
