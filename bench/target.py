"""The services that are called: one in C, so that it is not what limits the measurement."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def target() -> Iterator[str]:
    """The URL of a running target that answers everything with the same small JSON."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("This measurement compiles its target: install gcc.")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "target"
        source = Path(__file__).parent / "http_target.c"
        subprocess.run([compiler, "-O2", "-o", program, source], check=True, timeout=60)
        with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
            process.stdin.close()
