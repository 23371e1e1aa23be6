"""Every measurement, one after the other: `python -m bench`."""

import subprocess
import sys

#: In the order in which they run.
MODULES = (
    "bench.http_clients",
    "bench.sagas",
    "bench.parts",
    "bench.fold",
    "bench.dispatch",
    "bench.waiting",
    "bench.registry",
)


def main() -> int:
    """Run each in a process of its own, so that none warms up another; the first exit code that is not 0."""
    for module in MODULES:
        print(f"\n== {module}\n", flush=True)
        done = subprocess.run([sys.executable, "-m", module], check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
