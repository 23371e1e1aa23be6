"""What a registry counts, and how Prometheus reads it.

Counting is plain numbers, because it happens on every lookup; prometheus_client only writes them out.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics

from registry.directory import Facts

#: Upper ends of the buckets of durations, in seconds.
BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Kinds of request that are told apart; whoever makes up methods is counted as one.
_MOST_KINDS: Final = 500

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"


class Durations:
    """How often one kind of request was answered with one status, and how long it took."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Figures:
    """The counters of one registry process; `facts` says how its directory is."""

    def __init__(self, facts: Callable[[], Facts], version: str) -> None:
        self._facts = facts
        self._version = version
        #: Requests that wait for a change now.
        self.watchers = 0
        #: Answers that offered instances which fail their checks, because too few pass.
        self.protected = 0
        #: Active checks by what they found.
        self.checks: dict[str, int] = {}
        self._durations: dict[tuple[str, str, int], Durations] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def durations(self, method: str, path: str, status: int) -> Durations:
        """Where the durations of these requests are added; `path` is the template."""
        kind = (method, path, status)
        found = self._durations.get(kind)
        if found is None:
            if len(self._durations) >= _MOST_KINDS:
                kind = ("other", "other", status)
            found = self._durations.setdefault(kind, Durations())
        return found

    def text(self, accept: str) -> tuple[bytes, str]:
        """All figures and their media type: OpenMetrics where `accept` names it, else Prometheus' own text."""
        if "application/openmetrics-text" in accept:
            encoded: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]  # theirs
            return encoded, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), PLAIN

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        facts = self._facts()
        yield InfoMetricFamily("saga_registry_build", "What runs.", {"version": self._version})
        times = HistogramMetricFamily(
            "saga_registry_request_duration_seconds", "Requests.", labels=["method", "path", "status"]
        )
        for (method, path, status), kept in self._durations.items():
            counts = zip([*map(str, BOUNDS), "+Inf"], accumulate(kept.buckets), strict=True)
            times.add_metric([method, path, str(status)], [(bound, float(n)) for bound, n in counts], kept.total)
        yield times
        yield CounterMetricFamily("saga_registry_cache_hits", "Lookups that memory answered.", facts.hits)
        yield CounterMetricFamily("saga_registry_cache_misses", "Lookups that memory could not answer.", facts.misses)
        yield CounterMetricFamily(
            "saga_registry_protected", "Answers with failing instances, because too few pass.", self.protected
        )
        checks = CounterMetricFamily("saga_registry_checks", "Active checks by what they found.", labels=["health"])
        for health, count in self.checks.items():
            checks.add_metric([health], count)
        yield checks
        yield GaugeMetricFamily("saga_registry_watchers", "Requests that wait for a change.", self.watchers)
        yield GaugeMetricFamily("saga_registry_services", "Names with a live instance.", facts.size)
        yield GaugeMetricFamily(
            "saga_registry_last_refresh_timestamp_seconds", "When memory was complete.", facts.last_refresh
        )
        if facts.redis != "embedded":
            yield GaugeMetricFamily(
                "saga_registry_redis_connected", "1 while Redis answers.", float(facts.redis == "connected")
            )


def wants_figures(accept: str) -> bool:
    """Whether an `Accept` field names a format of Prometheus; a plain `text/plain` besides others does not."""
    kinds = [kind.strip() for kind in accept.lower().split(",")]
    return any(
        kind.startswith("application/openmetrics-text") or (kind.startswith("text/plain") and "version=" in kind)
        for kind in kinds
    ) or kinds == ["text/plain"]
