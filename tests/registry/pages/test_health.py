"""The health pages, and the figures for Prometheus."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from registry.figures import wants_figures
from tests.registry.serving import Api

pytestmark = pytest.mark.anyio

PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
OLD_PROMETHEUS = "text/plain;version=0.0.4;q=1,*/*;q=0.1"


@pytest.mark.parametrize("accept", [PROMETHEUS, OLD_PROMETHEUS, "application/openmetrics-text", "text/plain"])
async def test_whoever_names_a_format_of_prometheus_gets_the_figures_from_the_health_page(
    http: Api, accept: str
) -> None:
    await http.register()
    for path in ("/health", "//health", "/metrics", "//metrics"):
        async with http.asked("GET", path, headers={"Accept": accept}) as response:
            text = await response.text()
            kind = response.headers["Content-Type"]
        if "openmetrics" in accept:
            assert kind.startswith("application/openmetrics-text; version=1.0.0")
            families = list(read_openmetrics(text))
        else:
            assert kind == "text/plain; version=0.0.4; charset=utf-8"
            families = list(read_text(text))
        services = next(x for x in families if x.name == "saga_registry_services")
        assert services.samples[0].value == 1


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/json", "application/json, text/plain, */*", "text/html,*/*;q=0.8", "text/*"]
)
async def test_everybody_else_gets_json(http: Api, accept: str) -> None:
    assert not wants_figures(accept)
    async with http.asked("GET", "/health", headers={"Accept": accept}) as response:
        assert response.content_type == "application/json"
        assert sorted(await response.json()) == ["cache", "redis", "service", "status", "version"]


async def test_the_figures_count_hits_misses_and_names(http: Api) -> None:
    await http.register()
    for name in ("payment", "payment", "nobody"):
        await http.call("GET", f"/services/{name}")
    figures = {sample.name: sample.value for x in read_text(await http.text("/metrics")) for sample in x.samples}
    assert figures["saga_registry_cache_hits_total"] == 2
    assert figures["saga_registry_cache_misses_total"] == 1
    assert figures["saga_registry_services"] == 1
    assert figures["saga_registry_last_refresh_timestamp_seconds"] == http.clock.now()
    assert "process_cpu_seconds_total" in figures
