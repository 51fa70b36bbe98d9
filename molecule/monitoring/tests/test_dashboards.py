"""The dashboards: what they ask of this Prometheus has an answer, once the service has been used."""

import math
import time
from urllib.parse import urlencode

import httpx
import lab
import pytest
from conftest import GATEWAY, ask, draw, gpus, value

from scripts.dashboards.queries import asked, dashboards

PICTURE = {"prompt": "a red circle on a blue background", "width": 256, "height": 256}
COUNTED = 'sum(z_image_turbo_gateway_requests_total{route=~"openai_images|sdapi_images|page"})'
SECONDS_BACK = 900
EXPLAINED = {"Watchdog", "GpuLost", "HealthCheckSilent"}  # there is no GPU, and may be no health check
GPU = {
    "pci.bus_id": "0:1:0",
    "memory.used": 20480,
    "utilization.gpu": 87,
    "temperature.gpu": 71,
    "power.draw": 280,
    "power.limit": 350,
    "clocks.sm": 1900,
    "clocks.max.sm": 2520,
    "clocks.mem": 9001,
    "ecc.errors.corrected.volatile.total": 0,
    "clocks_throttle_reasons.active": "0x0000000000000004",
}
# What the stand-in of nvidia-smi cannot tell: memory of PyTorch on a GPU, and the kernel's log.
NOT_TOLD = {"Memory of the instances", "Errors that the driver reported (Xid)"}
EVERY_QUERY = [
    pytest.param(query, id=f"{query.dashboard}: {query.panel}: {query.legend}")
    for path in dashboards()
    for query in asked(path)
    if query.kind == "prometheus"
]


@pytest.fixture(scope="module", autouse=True)
def _used():
    """Use every door, and again after Prometheus has looked: a rate needs two looks."""
    for _ in range(3):
        before = value(COUNTED) or 0
        assert draw().status_code == 200
        assert httpx.post(f"{GATEWAY}/sdapi/v1/txt2img", json=PICTURE, timeout=120).status_code == 200
        assert httpx.get(f"{GATEWAY}/", timeout=30).status_code == 200
        lab.wait_until(lambda counted=before: (value(COUNTED) or 0) >= counted + 3, 30)
    with gpus(GPU, GPU | {"pci.bus_id": "0:2:0"}):
        lab.wait_until(lambda: value("count(z_image_turbo_gpu_power_watts)") == 2, 30)
        yield


def values(expr):
    """Return all numbers that an expression had lately."""
    now = time.time()
    span = {"query": expr, "start": now - SECONDS_BACK, "end": now, "step": 5}
    answer = ask(f"/api/v1/query_range?{urlencode(span)}")
    numbers = [float(value) for series in answer["data"]["result"] for _, value in series["values"]]
    return [number for number in numbers if not math.isnan(number)]


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_a_panel_shows_something_once_the_service_was_used(query):
    may_be_empty = query.may_be_empty and (query.dashboard != "gpu" or query.panel in NOT_TOLD)
    found = lab.wait_until(lambda: values(query.expr) or may_be_empty, 30)
    assert found, query.expr


def test_no_rule_fails_here():
    groups = ask("/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 60
    assert not [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] == "err"]


def test_no_alert_fires_where_all_is_well():
    def firing():
        alerts = ask("/api/v1/alerts")["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    assert "Watchdog" in lab.wait_until(firing, 30)
    assert firing() <= EXPLAINED
