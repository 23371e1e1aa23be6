"""Redirects, runs and what sagas are to each other."""

import pytest

from runner.definitions.link import overlay
from runner.definitions.world import World
from tests.runner.definitions.sagas import SETTINGS, codes, loaded

ONE = "steps: [{name: one, set: 1}]\n"


def told(text: str, world: World = SETTINGS) -> list[tuple[str, str]]:
    return [(finding.code, finding.message) for finding in loaded(text, world).findings]


def test_a_redirect_takes_each_key_from_its_side() -> None:
    catalog = loaded("""
        id: entry
        version: 3
        name: Entry
        domain: front
        path: /e
        streams: [http]
        runners: [shop]
        roles: [buyer]
        methods: [GET]
        respond: accepted
        reply: {status: 201, headers: {x-id: "${ steps.one.output }"}}
        idempotencyKey: input.id
        labels: {l: x}
        timer: {period: 5}
        deprecated: true
        extraPayload: {a: {b: 1}, l: [1]}
        redirectTo: target
        ---
        id: target
        version: 7
        domain: back
        path: /t
        roles: [admin]
        methods: [POST]
        timeout: 5s
        autoFail: false
        extraPayload: {a: {b: 2, c: 3}, l: [2, 3], d: 4}
        circuitBreaker: {slidingWindowSize: 20, minimumNumberOfCalls: 5}
        compensation: {onExhausted: fail}
        cache: {ttl: 5s}
        schema: {exclude: true}
        steps: [{name: one, set: 1}]
        output: done
        """).catalog
    saga = catalog.get("entry")
    target = catalog.get("target")
    assert saga is not None
    assert target is not None
    assert (saga.id, saga.version, saga.name, saga.domain, saga.path) == ("entry", 3, "Entry", "front", "/e")
    assert (saga.streams, saga.runners, saga.roles, saga.methods) == (("http",), ("shop",), ("buyer",), ("GET",))
    assert (saga.respond, saga.reply.status, set(saga.reply.headers), saga.deprecated) == (
        "accepted",
        201,
        {"x-id"},
        True,
    )
    assert saga.idempotency_key is not None
    assert set(saga.labels) == {"l"}
    assert saga.timer is not None
    assert saga.extra_payload == {"a": {"b": 1, "c": 3}, "l": [1], "d": 4}
    assert (saga.executed, saga.redirect_to, saga.hop_roles) == (("target", 7), "target", (("admin",),))
    assert (saga.timeout, saga.auto_fail, saga.breaker, saga.compensation) == (
        5000,
        False,
        target.breaker,
        target.compensation,
    )
    assert [step.name for step in saga.steps] == ["one"]
    assert saga.cache is not None
    assert (saga.cache.ttl, saga.schema.exclude) == (5000, True)


def test_an_entry_keeps_its_own_cache_and_schema() -> None:
    saga = loaded(f"""
        id: entry
        path: /e
        cache: {{ttl: 1s}}
        schema: {{exclude: false}}
        redirectTo: target
        ---
        id: target
        cache: {{ttl: 5s}}
        schema: {{exclude: true}}
        {ONE}""").catalog.get("entry")
    assert saga is not None
    assert saga.cache is not None
    assert (saga.cache.ttl, saga.schema.exclude) == (1000, False)


def test_extra_payloads_of_a_chain_merge_and_the_first_hop_wins() -> None:
    saga = loaded(f"""
        {{id: a, path: /a, redirectTo: b, extraPayload: {{x: 1}}}}
        ---
        {{id: b, path: /b, redirectTo: c, extraPayload: {{x: 2, y: 2}}, roles: [r]}}
        ---
        id: c
        extraPayload: {{x: 3, y: 3, z: 3}}
        {ONE}""").catalog.get("a")
    assert saga is not None
    assert saga.extra_payload == {"x": 1, "y": 2, "z": 3}
    assert (saga.executed, saga.hop_roles) == (("c", 1), (("r",),))


def test_a_redirect_goes_to_the_highest_active_version_allowed_here() -> None:
    def version(number: int, more: str = "") -> str:
        return f"---\nid: t\nversion: {number}\n{more}steps: [{{name: one, set: {number}}}]\n"

    text = (
        "{id: a, path: /a, redirectTo: t}\n"
        + version(1)
        + version(2)
        + version(3, "runners: [other]\n")
        + version(4, "status: draft\n")
        + "---\n{id: p, path: /p, redirectTo: t@1}\n"
    )
    catalog = loaded(text).catalog
    assert [(s.id, s.executed) for s in catalog if s.path] == [("a", ("t", 2)), ("p", ("t", 1))]


def test_an_entry_with_an_inactive_target_is_served_to_nobody() -> None:
    result = loaded(f"{{id: a, path: /a, redirectTo: b}}\n---\nid: b\nstatus: inactive\n{ONE}")
    assert [finding.code for finding in result.findings] == ["SG407"]
    assert result.catalog.by_path("/a") == ()
    assert result.catalog.get("a", 1) is not None


@pytest.mark.parametrize("key", ["timeout: 5s", "durable: true", "output: 1", "autoFail: true", "onFail: b"])
def test_what_the_target_decides_is_a_warning_on_the_entry(key: str) -> None:
    assert codes(f"id: a\npath: /a\nredirectTo: b\n{key}\n---\nid: b\n{ONE}") == ["SG408"]


def test_a_circle_of_redirects_is_named_on_each_of_its_entries() -> None:
    found = told(
        "{id: a, path: /a, redirectTo: b}\n---\n"
        "{id: b, path: /b, redirectTo: c}\n---\n"
        "{id: c, path: /c, redirectTo: b}\n"
    )
    assert [code for code, _ in found] == ["SG205"] * 3
    assert found[0][1].endswith("b -> c -> b")


def test_redirects_have_ten_hops_and_not_eleven() -> None:
    def chain(hops: int) -> str:
        entries = [f"{{id: h{n}, path: /h{n}, redirectTo: h{n + 1}}}" for n in range(hops)]
        return "\n---\n".join([*entries, f"id: h{hops}\n{ONE}"])

    assert codes(chain(10)) == []
    assert codes(chain(11)) == ["SG205"]


def test_the_checks_see_entry_and_target_as_one_saga() -> None:
    text = """
        {id: a, path: /a, redirectTo: b, respond: accepted}
        ---
        id: b
        durable: false
        steps: [{name: one, set: 1}]
        """
    assert codes(text) == ["SG225"]
    step = "{name: one, call: {service: s, body: 1}, compensate: none}"
    text = f"{{id: a, path: /a, redirectTo: b}}\n---\nid: b\nsteps: [{step}]\n"
    assert codes(text) == ["SG403"]


def test_steps_beside_a_redirect_are_still_read() -> None:
    text = f"id: a\npath: /a\nredirectTo: b\nsteps: [{{name: x, sett: 1}}]\n---\nid: b\n{ONE}"
    assert codes(text) == ["SG408", "SG107"]


def test_a_saga_that_needs_one_of_a_broken_file_is_told_once_and_kept_out() -> None:
    from runner.definitions.load import load_texts

    files = [
        ("a.yaml", b"{id: a, path: /a, methods: [POST], steps: [{name: x, run: {saga: b}}]}"),
        ("b.yaml", b"{id: b, steps: [{name: x, run: {saga: c}}]}"),
        ("c.yaml", b"{id: c, steps: [{name: x, sett: 1}]}"),
        ("d.yaml", b"{id: d, path: /d, steps: [{name: x, set: 1}]}"),
        ("e.yaml", b"{id: e, path: /e, redirectTo: c}"),
    ]
    result = load_texts(files, SETTINGS)
    assert [(f.file, f.code) for f in result.findings] == [
        ("a.yaml", "SG211"), ("b.yaml", "SG211"), ("c.yaml", "SG107"), ("e.yaml", "SG211"),
    ]  # fmt: skip
    assert [saga.id for saga in result.catalog] == ["d"]


def test_types_raised_by_a_child_and_by_inner_steps_are_within_reach() -> None:
    assert (
        codes("""
        id: a
        path: /a
        steps:
          - name: one
            run: {saga: child}
            catch: [{errors: [sold-out, deeper], output: 1}]
          - name: two
            fork: {branches: {b: {raise: {type: inner}}}}
            catch: [{errors: [inner], output: 1}]
        ---
        id: child
        steps: [{raise: {type: sold-out}}, {name: g, run: {saga: grandchild}}]
        ---
        id: grandchild
        steps: [{raise: {type: deeper}}]
        """)
        == []
    )


def test_what_a_catch_raises_is_not_offered_to_the_same_list() -> None:
    assert codes("""
        id: a
        path: /a
        steps:
          - name: one
            set: 1
            catch:
              - {errors: [any], steps: {raise: {type: mine}}}
              - {errors: [mine], output: 1}
        """) == ["SG210"]


def test_a_saga_with_a_pivot_is_run_by_a_pivot() -> None:
    text = """
        id: a
        path: /a
        methods: [POST]
        steps: [{name: one, pivot: true, run: {saga: b}}]
        ---
        id: b
        steps: [{name: one, pivot: true, call: {service: s, body: 1}}]
        """
    assert codes(text) == []


def test_sagas_run_sagas_twenty_deep_and_not_more() -> None:
    def chain(depth: int) -> str:
        runs = [f"id: r{n}\npath: /r{n}\nsteps: [{{name: one, run: {{saga: r{n + 1}}}}}]\n" for n in range(depth)]
        return "---\n".join([*runs, f"id: r{depth}\n{ONE}"])

    assert codes(chain(20)) == []
    assert set(codes(chain(21))) == {"SG206"}


@pytest.mark.parametrize(
    ("first", "second", "tie"),
    [
        ("", "", True),
        ("version: 2", "", False),
        ("streams: [http]", "", False),
        ("streams: [http]", "streams: [http, orders]", True),
        ("streams: [http]", "streams: [orders]", False),
        ("runners: [shop]", "", False),
        ("runners: [shop]", "runners: [other]", False),
        ("status: draft", "", False),
        ("methods: [GET]", "methods: [POST]", False),
        ("methods: [GET]", "methods: [POST, GET]", True),
        ("streams: [orders]\nmethods: [GET]", "streams: [orders]\nmethods: [POST]", True),
    ],
)
def test_two_sagas_that_are_equally_good_for_one_request_are_a_warning(first: str, second: str, tie: bool) -> None:
    found = codes(f"id: a\npath: /a\n{first}\n{ONE}---\nid: b\npath: /a\n{second}\n{ONE}")
    assert found == (["SG406"] if tie else [])


@pytest.mark.parametrize("reference", ["run", "onFail", "redirectTo", "timer", "path"])
def test_something_reaches_a_saga_that_is_named_or_timed(reference: str) -> None:
    callers = {
        "run": "id: a\npath: /a\nsteps: [{name: one, run: {saga: b}}]\n---\n",
        "onFail": f"id: a\npath: /a\nonFail: b@1\n{ONE}---\n",
        "redirectTo": "id: a\npath: /a\nredirectTo: b\n---\n",
        "timer": "",
        "path": "",
    }
    own = {"timer": "timer: {period: 5}\nrunners: [shop]\n", "path": "path: /b\n"}
    assert codes(f"{callers[reference]}id: b\n{own.get(reference, '')}{ONE}") == []


def test_settings_are_not_asked_of_a_saga_for_other_runners() -> None:
    text = """
        id: a
        path: /a
        runners: [other]
        streams: [elsewhere]
        methods: [POST]
        cache: {state: far}
        steps:
          - {name: one, emit: {stream: elsewhere}, compensate: none}
          - {name: two, call: {url: "https://x.example/", method: GET}, retry: theirs}
          - {name: three, set: "${ vars.theirs }"}
        """
    assert codes(text) == []


def test_without_settings_no_name_of_theirs_is_checked() -> None:
    text = """
        id: a
        path: /a
        streams: [any]
        methods: [POST]
        cache: {state: any}
        steps:
          - {name: one, emit: {stream: any}, compensate: none}
          - {name: two, call: {service: any, method: GET}, retry: any}
          - {name: three, set: "${ vars.any }"}
        """
    assert codes(text, World()) == []


def test_the_deeper_mapping_wins_key_by_key_and_lists_are_replaced() -> None:
    assert overlay({"a": {"b": 1, "c": 2}, "l": [1]}, {"a": {"b": 3}, "l": [2], "n": None}) == {
        "a": {"b": 3, "c": 2}, "l": [2], "n": None,
    }  # fmt: skip
