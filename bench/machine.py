"""Where a measurement was taken and with what, and the file that its results go into."""

import contextlib
import importlib.metadata
import json
import os
import platform
import sqlite3
import sysconfig
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: Where `python -m bench...` finds this package, whatever else is called so elsewhere.
ROOT = HERE.parent


def version(package: str) -> str | None:
    """The installed version, None where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine(packages: Sequence[str]) -> dict[str, Any]:
    """Processor, system, Python and the versions of `packages`, now."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(": ")[2]
                break
    # A Python that was built with profiles takes about three quarters of the CPU of one that was not.
    tuned = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version() + (" (built with profiles)" if tuned else " (built without profiles)"),
        "sqlite": sqlite3.sqlite_version,
        "versions": {package: version(package) for package in packages},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def show(about: dict[str, Any]) -> None:
    """Print what `machine` gave."""
    print(f"{about['cpu']}, {about['cores']} cores, {about['system']}, Python {about['python']}")
    print(", ".join(f"{name} {number}" for name, number in about["versions"].items() if number))


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings: the first column to the left, numbers to the right."""
    texts = [[str(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(headings))]
    for row in texts:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


def goal(text: str, value: float, most: float | None = None, least: float | None = None) -> dict[str, Any]:
    """Print a goal beside what was measured; the two as they go into the results."""
    met = (most is None or value <= most) and (least is None or value >= least)
    bound = f"at most {most:g}" if most is not None else f"at least {least:g}"
    print(f"{'met   ' if met else 'MISSED'}  {text}: {value:g} ({bound})")
    return {"goal": text, "value": value, "most": most, "least": least, "met": met}


def write(name: str, about: dict[str, Any], **content: Any) -> None:
    """Keep the results of one measurement as `bench/results/<name>.json`."""
    file = HERE / "results" / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"machine": about, **content}, indent=2) + "\n")
