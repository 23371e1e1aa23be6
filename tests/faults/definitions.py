"""The definitions that the fault tests run: the shop's own, and some that go where the shop's do not."""

import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from tests.support.processes import SHOP

_RESERVE: Final = """
    call: {service: stock, path: /reservations, body: {id: "${ steps.reserve.key }", lines: "${ input.lines }"}}
    compensate:
      call: {service: stock, method: DELETE, path: "/reservations/${ steps.reserve.key }"}
"""
_CHARGE: Final = """
    call:
      service: payment
      path: /charges
      body: {id: "${ steps.charge.key }", amount: "${ input.total }", customer: "${ input.customer }"}
    compensate:
      call: {service: payment, method: POST, path: "/charges/${ steps.charge.key }/refund"}
"""
_SHIP: Final = """
  - name: ship
    call:
      service: courier
      path: /shipments
      body: {id: "${ steps.ship.key }", order: "${ input.orderId }", city: "${ input.address.city }"}
    compensate:
      call: {service: courier, method: DELETE, path: "/shipments/${ steps.ship.key }"}
"""

#: A refused charge is caught by a step that has an effect of its own; what fails later undoes that, too.
INSTEAD: Final = f"""
id: instead
path: /instead
methods: [POST]
steps:
  - name: charge
    call:
      service: payment
      path: /charges
      body: {{id: "${{ steps.charge.key }}", amount: "${{ input.total }}", customer: "${{ input.customer }}"}}
    catch:
      - errors: [402]
        steps:
          - name: reserve{_RESERVE.replace(chr(10), chr(10) + "        ")}
    compensate:
      call: {{service: payment, method: POST, path: "/charges/${{ steps.charge.key }}/refund"}}
{_SHIP}
"""

#: The saga's time is up while a service is slow: attempts are broken off, their outcome unknown.
TIMED: Final = f"""
id: timed
path: /timed
methods: [POST]
timeout: 500ms
steps:
  - name: charge{_CHARGE}
  - name: both
    fork:
      branches:
        one:
          - name: reserve{_RESERVE.replace(chr(10), chr(10) + "        ")}
        other:
          - name: more
            call:
              service: stock
              path: /reservations
              body: {{id: "${{ steps.more.key }}", lines: "${{ input.lines }}"}}
            compensate:
              call: {{service: stock, method: DELETE, path: "/reservations/${{ steps.more.key }}"}}
"""

#: Two effects side by side, undone where the courier refuses.
BOTH: Final = f"""
id: both
path: /both
methods: [POST]
steps:
  - name: both
    fork:
      branches:
        goods:
          - name: reserve{_RESERVE.replace(chr(10), chr(10) + "        ")}
        money:
          - name: charge{_CHARGE.replace(chr(10), chr(10) + "        ")}
{_SHIP}
"""

#: A pivot whose service may take its time.
SLOW_PIVOT: Final = f"""
id: slow-pivot
path: /slow-pivot
methods: [POST]
steps:
  - name: charge{_CHARGE}
  - name: reserve
    pivot: true
    call: {{service: stock, path: /reservations, body: {{id: "${{ steps.reserve.key }}", lines: "${{ input.lines }}"}}}}
output: {{orderId: "${{ input.orderId }}"}}
"""

#: Takes money and has no way to give it back: what is left where the courier refuses.
LEFT: Final = f"""
id: left
path: /left
methods: [POST]
steps:
  - name: charge{_CHARGE[: _CHARGE.index("    compensate:")]}
{_SHIP}
"""

#: Never given back before it is signalled: one branch listens, the other asks for what follows the signal, and waits
#: for less than a runner gives a run back for. So the signal finds the run in hands, however long it takes to come.
MEET: Final = """
id: meet
path: /meet
methods: [POST]
labels: {orderId: "${ input.orderId }"}
steps:
  - name: both
    fork:
      failFast: true
      branches:
        told:
          - name: word
            listen: {signal: word}
          - name: ship
            call:
              service: courier
              path: /shipments
              body: {id: "${ input.orderId }", order: "${ input.orderId }", city: "${ input.address.city }"}
            compensate:
              call: {service: courier, method: DELETE, path: "/shipments/${ input.orderId }"}
        asked:
          - name: look
            call: {service: courier, method: GET, path: "/shipments/${ input.orderId }"}
            retry: {attempts: 1000, delay: 500ms, backoff: constant, jitter: none, errors: [any]}
  - name: announce
    emit: {stream: placed, key: "${ input.orderId }", type: order.placed, body: "${ input }"}
    compensate: none
output: {orderId: "${ input.orderId }"}
"""


def definitions() -> Mapping[str, str]:
    """File name to text. The shop's `place-order` gives a slow stock less time, so that a test takes less."""
    texts = {path.name: path.read_text() for path in sorted(SHOP.glob("*.yaml"))}
    patient = texts["place-order.yaml"]
    texts["place-order.yaml"] = patient.replace("timeout: 1s", "timeout: 400ms")
    assert texts["place-order.yaml"] != patient
    own = {"instead": INSTEAD, "timed": TIMED, "both": BOTH, "slow-pivot": SLOW_PIVOT, "left": LEFT, "meet": MEET}
    return texts | {f"{name}.yaml": text for name, text in own.items()}


def hurried(texts: Mapping[str, str], timeout: str) -> Mapping[str, str]:
    """The same definitions, with no more than that time for each call that does not say how much it has."""

    def within(node: Any) -> Any:
        if isinstance(node, list):
            return [within(item) for item in node]
        if not isinstance(node, dict):
            return node
        more = {"timeout": timeout} if "call" in node and "timeout" not in node else {}
        return {key: within(value) for key, value in node.items()} | more

    return {name: json.dumps(within(yaml.safe_load(text))) for name, text in texts.items()}  # JSON is YAML
