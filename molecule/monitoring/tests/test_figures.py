"""Every host tells how it is, to the monitoring host alone."""

import socket

import lab
import pytest
from conftest import GATEWAY, NETWORK, draw, gpus, is_picture, on, play, query, run_on, value

SCRAPE, SCRAPE_BY_DEFAULT = 2, 15  # seconds: of the scenario's inventory, and of the role
WORKS_WHEN_ASKED = {"prometheus-node-exporter", "prometheus-nginx-exporter", "nvidia-smi"}
EXPORTERS = [("gw1", 9100), ("gw1", 9113), ("gw1", 3903), ("gpu1", 9100)]
ADDRESSES = {"gw1": f"{NETWORK}.10", "gpu1": f"{NETWORK}.11", "mon1": f"{NETWORK}.20"}


def test_a_second_run_changes_nothing():
    again = play("site.yml")
    assert (again.rc, set(again.changed.values())) == (0, {0}), again.output
    assert set(again.changed) == {"gw1", "gpu1", "mon1"}


def test_every_target_of_the_inventory_answers():
    lab.wait_until(lambda: all(up for _, up in query("up")), 60)
    jobs = {(row["job"], row["instance"]) for row, _ in query("up")}
    assert jobs >= {
        ("z_image_turbo", "gpu1-a"),
        ("z_image_turbo", "gpu1-b"),
        ("node", "gpu1"),
        ("node", "gw1"),
        ("node", "mon1"),
        ("nginx", "gw1"),
        ("gateway_log", "gw1"),
        ("probe_readyz", "gw1"),
        ("probe_picture", "gw1"),
    }


@pytest.mark.parametrize(("host", "port"), EXPORTERS)
def test_an_exporter_is_closed_to_all_but_the_monitoring_host(host, port):
    url = f"http://{ADDRESSES[host]}:{port}/metrics"
    assert run_on("mon1", "curl", "--silent", "--fail", "--output", "/dev/null", url).returncode == 0
    other = "gpu1" if host == "gw1" else "gw1"
    assert run_on(other, "curl", "--silent", "--max-time", "3", url).returncode != 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((ADDRESSES[host], port), timeout=3)


@pytest.mark.parametrize("port", [9090, 9093, 9115])
def test_the_consoles_are_for_who_is_on_the_monitoring_host(port):
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((ADDRESSES["mon1"], port), timeout=3)


def test_a_picture_is_counted_by_route_status_and_instance():
    counted = 'sum(z_image_turbo_gateway_requests_total{route="openai_images",status="200"})'
    before = value(counted) or 0
    answer = draw()
    assert is_picture(answer)
    instance = answer.headers["X-Served-By"]
    lab.wait_until(lambda: (value(counted) or 0) > before, 20)
    for expression in (
        f'z_image_turbo_gateway_upstream_requests_total{{instance="{instance}",route="openai_images",status="200"}}',
        'z_image_turbo_gateway_request_seconds_count{route="openai_images",class="2xx"}',
        f'sum(zimage_images_total{{instance="{instance}"}})',
        "nginx_http_requests_total",
    ):
        assert value(expression) > 0, expression


def test_the_agent_of_the_gateway_tells_who_is_in_service():
    levels = 'z_image_turbo_gateway_level{level="in"} == 1'
    lab.wait_until(lambda: {row["instance"] for row, _ in query(levels)} == {"gpu1-a", "gpu1-b"}, 30)
    assert {row["host"] for row, _ in query(levels)} == {"gw1"}
    assert value("z_image_turbo_gateway_applied") == 1


def test_supervisors_states_are_told_also_after_its_restart():
    running = 'node_supervisord_state{name=~"z-image-turbo-.*"} == 20'
    lab.wait_until(lambda: len(query(running)) == 2, 30)
    on("gpu1", "systemctl", "restart", "supervisor")
    lab.wait_until(lambda: value("node_supervisord_up{name='z-image-turbo-a'}") == 1, 60)
    lab.wait_until(lambda: len(query('up{job="z_image_turbo"} == 1')) == 2, 120)


def test_gpus_are_told_and_so_is_a_driver_that_is_lost():
    assert value("z_image_turbo_gpu_up") == 0
    assert value('z_image_turbo_gpu_health{health="no_driver"}') == 1
    with gpus({"pci.bus_id": "0:1:0", "temperature.gpu": 71}):
        lab.wait_until(lambda: value("z_image_turbo_gpu_up") == 1, 30)
        lab.wait_until(lambda: value("z_image_turbo_gpu_temperature_celsius{gpu='0'}") == 71, 15)
        assert value("z_image_turbo_gpu_expected") == 2
    lab.wait_until(lambda: value("z_image_turbo_gpu_up") == 0, 30)
    lab.wait_until(lambda: value("z_image_turbo_gpu_temperature_celsius{gpu='0'}") is None, 30)


@pytest.mark.parametrize("host", ["gw1", "gpu1"])
def test_an_exporter_takes_less_than_one_percent_of_a_core(host):
    script = (lab.ROOT / "benchmarks/exporters/measure.py").read_text()
    said = on(host, "python3", "-", "20", data=script)
    shares = {line.split()[0]: float(line.split()[1].rstrip("%")) for line in said.splitlines()}
    for name in WORKS_WHEN_ASKED & set(shares):
        shares[name] *= SCRAPE / SCRAPE_BY_DEFAULT
    assert {"prometheus-node-exporter", "rsyslog"} <= set(shares)
    assert max(shares.values()) < 1, shares


def test_a_real_picture_is_asked_for_through_the_gateway():
    lab.wait_until(lambda: value('probe_success{job="probe_picture"}') == 1, 60)
    assert value('probe_success{job="probe_readyz"}') == 1
    (labels, _), *_ = query('probe_success{job="probe_picture"}')
    assert labels["url"] == f"{GATEWAY}:80/v1/images/generations"
