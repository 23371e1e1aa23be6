"""What a run leaves behind in memory: nothing that only the garbage collector would find."""

import asyncio
import gc
from collections import Counter

import pytest

from tests.runner.engine.door import door

SAGAS = """
id: quick
path: /a
timeout: 30s
steps:
  - name: pay
    call: {service: backend, path: /, body: {id: "${ steps.pay.key }"}}
    compensate: {call: {service: backend, path: /undo, body: {id: "${ steps.pay.key }"}}}
  - name: each
    for: {each: item, in: "input.items", steps: {set: "${ item }"}}
---
id: turned
path: /turned
steps:
  - name: pay
    call: {service: backend, path: /, body: {id: "${ steps.pay.key }"}}
    compensate: {call: {service: backend, path: /undo, body: {id: "${ steps.pay.key }"}}}
  - raise: {type: changed-my-mind, status: 409}
"""


@pytest.mark.parametrize(("path", "status"), [("/a", 200), ("/turned", 409)])
def test_a_run_that_has_ended_is_no_circle(path: str, status: int) -> None:
    async def scene() -> Counter[str]:
        async with door(*SAGAS.split("---\n")) as at:

            async def some(count: int) -> None:
                for _ in range(count):
                    reply = await at.ask(path, {"items": [1, 2, 3]})
                    assert reply.status == status, reply.body

            await some(3)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                await some(20)
                gc.collect()
                return Counter(type(found).__module__ for found in gc.garbage)
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()

    found = asyncio.run(scene())
    assert not [module for module in found if module.startswith("runner")], found
