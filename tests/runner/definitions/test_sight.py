# ruff: noqa: E501  # a case is one text, and a text in flow style is one line
"""Which steps and context names an expression may read from where it stands."""

import pytest

from tests.runner.definitions.sagas import codes

HEAD = "id: a\npath: /a\nmethods: [POST]\n"
CALL = "call: {service: s, body: {}}"

SEEN = {
    "an earlier step": "steps: [{name: x, set: 1}, {name: y, set: '${ steps.x.output }'}]",
    "the key of a later step": "steps: [{name: x, set: '${ steps.y.key }'}, {name: y, set: 1}]",
    "its own key": "steps: [{name: x, set: '${ steps.x.key }'}]",
    "a step in a branch, after the fork": (
        "steps: [{name: f, fork: {branches: {b: [{name: x, set: 1}]}}}, {name: y, set: '${ steps.x.output }'}]"
    ),
    "a step in a case, after the switch": (
        "steps: [{name: f, switch: [{when: input.x, steps: [{name: x, set: 1}]}]}, {name: y, set: '${ steps.x.output }'}]"
    ),
    "a step of a catch, after it": (
        "steps: [{name: f, set: 1, catch: [{errors: [any], steps: [{name: x, set: 1}]}]}, {name: y, set: '${ steps.x.status }'}]"
    ),
    "a step before the fork, from a branch": (
        "steps: [{name: x, set: 1}, {name: f, fork: {branches: {b: {set: '${ steps.x.output }'}}}}]"
    ),
    "the key of the step around": "steps: [{name: f, fork: {branches: {b: {set: '${ steps.f.key }'}}}}]",
    "its own error, in its catch": (
        "steps: [{name: x, set: 1, catch: [{errors: [any], when: steps.x.error.kind == 'a', output: '${ error.kind }'}]}]"
    ),
    "the steps of a catch entry, in its output": (
        "steps: [{name: f, set: 1, catch: [{errors: [any], steps: [{name: x, set: 1}], output: '${ steps.x.output }'}]}]"
    ),
    "the inner steps of a fork, in its catch": (
        "steps: [{name: f, fork: {branches: {b: [{name: x, set: 1}]}}, catch: [{errors: [any], output: '${ steps.x.output }'}]}]"
    ),
    "a later step, in an undo": (
        f"steps: [{{name: x, {CALL}, compensate: {{set: '${{ steps.y.output }}'}}}}, {{name: y, set: 1}}]"
    ),
    "a sibling branch, in an undo": (
        f"steps: [{{name: f, fork: {{branches: {{b: [{{name: x, {CALL}, compensate: {{set: '${{ steps.y.output }}'}}}}],"
        " c: [{name: y, set: 1}]}}}]"
    ),
    "an earlier step of the same undo, and the error": (
        f"steps: [{{name: x, {CALL}, compensate: [{{name: u, set: '${{ error.kind }}'}}, {{set: '${{ steps.u.output }}'}}]}}]"
    ),
    "the item of its loop, in an undo": (
        f"steps: [{{name: f, for: {{each: i, in: input.l, steps: [{{name: x, {CALL}, compensate: {{set: '${{ i.id }}'}}}}]}}}}]"
    ),
    "its own output, in a sequential loop": (
        "steps: [{name: f, for: {each: i, in: input.l, steps: [{name: x, set: '${ steps.x.output }'}]}}]"
    ),
    "a later step, in a sequential loop": (
        "steps: [{name: f, for: {each: i, in: input.l, steps: [{name: x, set: '${ steps.y.output }'}, {name: y, set: 1}]}}]"
    ),
    "another case, in a sequential loop": (
        "steps: [{name: f, for: {each: i, in: input.l, steps: [{name: s, switch: [{when: i.a, steps: [{name: x, set: 1}]},"
        " {otherwise: [{name: y, set: '${ steps.x.output }'}]}]}]}}]"
    ),
    "the steps of the turn, in until": (
        "steps: [{name: f, for: {until: steps.x.output.done, max: 3, steps: [{name: x, set: '${ index }'}]}}]"
    ),
    "the items of both loops": (
        "steps: [{name: f, for: {each: i, in: input.l, steps: {name: g, for: {each: j, in: i.m, steps: {set: '${ i.a }${ j.b }'}}}}}]"
    ),
    "the answer, in expect": (
        "steps: [{name: x, call: {service: s, method: GET, expect: output.ready && response.status == 200 && input.x}}]"
    ),
    "all steps, in the saga's output": "steps: [{name: x, set: 1}]\noutput: '${ steps.x.output }'",
    "all steps, in the reply's headers": "steps: [{name: x, set: 1}]\nreply: {headers: {x-id: '${ steps.x.output }'}}",
    "input, event, saga and vars in a label": (
        "labels: {l: '${ input.a }', m: '${ event.subject }', n: '${ saga.id }', o: '${ vars.channel }'}\n"
        "steps: [{name: x, set: 1}]"
    ),
}  # fmt: skip

HIDDEN = {
    "steps as a whole": ("SG303", "steps: [{name: x, set: 1}]\noutput: '${ steps }'"),
    "a later step": ("SG306", "steps: [{name: x, set: '${ steps.y.status }'}, {name: y, set: 1}]"),
    "a later step as a whole": ("SG306", "steps: [{name: x, set: '${ steps.y }'}, {name: y, set: 1}]"),
    "the output of the step around": ("SG306", "steps: [{name: f, fork: {branches: {b: {set: '${ steps.f.output }'}}}}]"),
    "its own status": ("SG306", "steps: [{name: x, when: steps.x.status, set: 1}]"),
    "the key of a sibling branch": (
        "SG304", "steps: [{name: f, fork: {branches: {b: [{name: x, set: 1}], c: {set: '${ steps.x.key }'}}}}]",
    ),
    "into a loop, its key": (
        "SG305",
        "steps: [{name: f, for: {each: i, in: input.l, steps: [{name: x, set: 1}]}}, {name: y, set: '${ steps.x.key }'}]",
    ),
    "into a loop, in the saga's output": (
        "SG305", "steps: [{name: f, for: {each: i, in: input.l, steps: [{name: x, set: 1}]}}]\noutput: '${ steps.x.output }'",
    ),
    "into a loop, from its own catch": (
        "SG305",
        "steps: [{name: f, for: {each: i, in: input.l, steps: [{name: x, set: 1}]}, catch: [{errors: [any], output: '${ steps.x.output }'}]}]",
    ),
    "into a loop, from an undo outside": (
        "SG305",
        f"steps: [{{name: f, for: {{each: i, in: input.l, steps: [{{name: x, set: 1}}]}}}}, {{name: y, {CALL}, compensate: {{set: '${{ steps.x.output }}'}}}}]",
    ),
    "into a nested loop, from the outer one": (
        "SG305",
        "steps: [{name: f, for: {each: i, in: input.l, steps: [{name: g, for: {each: j, in: i.m, steps: [{name: x, set: 1}]}},"
        " {name: y, set: '${ steps.x.output }'}]}}]",
    ),
    "its own output, in a parallel loop": (
        "SG306", "steps: [{name: f, for: {each: i, in: input.l, parallel: 2, steps: [{name: x, set: '${ steps.x.output }'}]}}]",
    ),
    "a turn, in the loop's own list": (
        "SG305", "steps: [{name: f, for: {each: i, in: steps.x.output, steps: [{name: x, set: 1}]}}]",
    ),
    "another catch entry": (
        "SG306",
        "steps: [{name: f, set: 1, catch: [{errors: [exhausted], steps: [{name: x, set: 1}]}, {errors: [any], output: '${ steps.x.output }'}]}]",
    ),
    "a catch, from inside the step": (
        "SG306",
        "steps: [{name: f, fork: {branches: {b: {set: '${ steps.x.output }'}}}, catch: [{errors: [any], steps: [{name: x, set: 1}]}]}]",
    ),
    "the undo of another step, in an undo": (
        "SG306",
        f"steps: [{{name: x, {CALL}, compensate: [{{name: u, set: 1}}]}}, {{name: y, {CALL}, compensate: {{set: '${{ steps.u.output }}'}}}}]",
    ),
    "a later step of the same undo": (
        "SG306",
        f"steps: [{{name: x, {CALL}, compensate: [{{set: '${{ steps.u.output }}'}}, {{name: u, set: 1}}]}}]",
    ),
    "a step, in the cache key": ("SG306", "cache: {key: steps.x.output}\nsteps: [{name: x, set: 1}]"),
    "all steps, in a label": ("SG306", "labels: {l: '${ to_json(steps) }'}\nsteps: [{name: x, set: 1}]"),
    "a step that is not there": ("SG303", "steps: [{name: x, set: '${ steps.y.output }'}]"),
    "the item, outside its loop": (
        "SG302", "steps: [{name: f, for: {each: i, in: input.l, steps: {set: 1}}}, {name: y, set: '${ i.a }'}]",
    ),
    "the item, in the loop's own list": ("SG302", "steps: [{name: f, for: {each: i, in: i.m, steps: {set: 1}}}]"),
    "the answer, outside expect": ("SG302", "steps: [{name: x, call: {service: s, method: GET}, when: output.a}]"),
    "an unknown field of a step": ("SG302", "steps: [{name: x, set: 1}, {name: y, set: '${ steps.x.outptu }'}]"),
}  # fmt: skip


@pytest.mark.parametrize("text", SEEN.values(), ids=SEEN)
def test_an_expression_sees(text: str) -> None:
    assert [code for code in codes(HEAD + text) if code not in ("SG401", "SG402")] == []


@pytest.mark.parametrize(("code", "text"), HIDDEN.values(), ids=HIDDEN)
def test_an_expression_does_not_see(code: str, text: str) -> None:
    assert [found for found in codes(HEAD + text) if found not in ("SG401", "SG402")] == [code]
