"""The official JMESPath compliance suite against the strict dialect.

The folder with the suite's JSON files is named by the environment variable JMESPATH_SUITE.
"""

import json
import os
from pathlib import Path

from registry.base.values import Json
from runner.saga.expression import ExpressionFailed, ExpressionInvalid, compile_expression
from tests.support.require import require

ORDERING = "an ordering outside a filter needs two numbers or two texts; plain JMESPath gives null"
BARE_INDEX = "an index right of neither a path nor | is refused: the context is no list, so it would be null"
BARE_NUMBER = "numbers may stand bare, so this is a list with a number in it"

#: (file, expression) -> why the dialect answers otherwise.
DEVIATIONS = {
    ("boolean.json", "emptylist < one"): ORDERING,
    ("boolean.json", "emptylist < nullvalue"): ORDERING,
    ("boolean.json", "emptylist < boolvalue"): ORDERING,
    ("boolean.json", "one < boolvalue"): ORDERING,
    ("filters.json", "*[?[0] == `0`]"): BARE_INDEX,
    ("indices.json", "[0]"): BARE_INDEX,
    ("indices.json", "[1]"): BARE_INDEX,
    ("indices.json", "[2]"): BARE_INDEX,
    ("indices.json", "[-1]"): BARE_INDEX,
    ("indices.json", "[-2]"): BARE_INDEX,
    ("indices.json", "[-3]"): BARE_INDEX,
    ("slice.json", "[:]"): BARE_INDEX,
    ("slice.json", "[:2].a"): BARE_INDEX,
    ("slice.json", "[::-1].a"): BARE_INDEX,
    ("slice.json", "[:2].b"): BARE_INDEX,
    ("syntax.json", "[0]"): BARE_INDEX,
    ("syntax.json", "foo.[abc, 1]"): BARE_NUMBER,
    ("syntax.json", "foo.[0, 1]"): BARE_NUMBER,
}


def fits(case: dict[str, Json], given: Json) -> bool:
    """Does the dialect answer this case as the suite says? JSON text tells true from 1."""
    try:
        found = compile_expression(case["expression"]).search(given)
    except (ExpressionInvalid, ExpressionFailed):
        return "error" in case
    if "error" in case:
        return False
    return "result" not in case or json.dumps(found, sort_keys=True) == json.dumps(case["result"], sort_keys=True)


def test_the_official_suite_passes_but_for_the_listed_deviations() -> None:
    folder = os.environ.get("JMESPATH_SUITE")
    if not folder:
        require("needs the folder of the official JMESPath suite in the environment variable JMESPATH_SUITE")
    deviating, count = set(), 0
    for file in sorted(Path(folder).glob("*.json")):
        for group in json.loads(file.read_text(encoding="utf-8")):
            for case in group["cases"]:
                count += 1
                if not fits(case, group["given"]):
                    deviating.add((file.name, case["expression"]))
    assert count > 800, f"{folder} holds {count} cases: that is not the suite"
    assert deviating == set(DEVIATIONS)
