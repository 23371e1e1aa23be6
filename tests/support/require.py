"""A test that cannot run says so aloud, and where everything is promised to be there it fails instead.

A skip that nobody sees is a test that nobody has. On a contributor's machine without a Redis server a skip
with its reason is right; on the machine that decides, `SAGA_TEST_REQUIRE=all` turns every such skip into a
failure.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def require(reason: str) -> NoReturn:
    """Ends the test as skipped for `reason`, or as failed when `SAGA_TEST_REQUIRE=all`.

    Call it where the absence was noticed: `if path is None: require("needs the redis-server command")`.
    """
    if os.environ.get("SAGA_TEST_REQUIRE") == "all":
        pytest.fail(f"SAGA_TEST_REQUIRE=all allows no skips, and this test says: {reason}", pytrace=False)
    pytest.skip(reason)


def require_command(name: str) -> Path:
    """Where the command `name` is on this machine; without it the test ends as `require` says."""
    found = shutil.which(name)
    if found is None:
        require(f"needs the command {name} on the PATH")
    return Path(found)
