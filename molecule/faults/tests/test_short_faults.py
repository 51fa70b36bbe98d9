"""Faults that are over soon, and what people see of them. Those which take longer are in ../long."""

import fleet
import httpx
import lab

WAITS = "zimage_queue_work "
LOAD_SECONDS = 180  # in which an instance starts, also where all share two cores with others
HANG_SECONDS = 40  # until a hanging instance is restarted


def test_an_instance_is_killed(fault):
    before = fleet.pids()
    with fault.users():
        fault.strikes()
        fleet.kill("KILL", "gpu2-a")
        fault.over_when(fleet.replaced("gpu2-a", before), LOAD_SECONDS)
    assert fault.errors() == []
    assert {name: pid for name, pid in fleet.pids().items() if name != "gpu2-a"} == {
        name: pid for name, pid in before.items() if name != "gpu2-a"
    }


def test_an_instance_hangs(fault):
    before, said = fleet.pids(), len(fleet.events("gpu1"))
    with fault.users():
        fault.strikes()
        fleet.kill("STOP", "gpu1-b")
        fault.told_when(
            "health check: restart (silent)",
            lambda: "restart" in {one["event"] for one in fleet.events("gpu1", said)},
            HANG_SECONDS,
        )
        fault.over_when(fleet.replaced("gpu1-b", before), LOAD_SECONDS)
    assert fault.errors() == []
    assert fault.longest() < HANG_SECONDS + 20
    assert [fleet.pid(name) == before[name] for name in ("gpu1-a", "gpu1-c")] == [True, True]


def test_an_instance_ends_by_itself_and_says_that_all_is_well(fault):
    before = fleet.pids()
    with fault.users():
        fault.strikes()
        fleet.GPU2.check_output(f"kill -TERM {before['gpu2-a']}")
        fault.over_when(fleet.replaced("gpu2-a", before), LOAD_SECONDS)
    assert fault.errors() == []


def test_clients_hang_up_in_the_middle(fault):
    before = fleet.pids()
    order = {"prompt": "given up", "width": 1024, "height": 1024, "steps": 8}

    def hang_up():
        try:
            httpx.post(f"{fleet.URL}/sdapi/v1/txt2img", json=order, timeout=httpx.Timeout(5, read=0.3))
        except httpx.ReadTimeout:
            return
        raise AssertionError("a large picture came within 0.3 s")

    with fault.users():
        fault.strikes()
        for _ in range(20):
            hang_up()
        fault.over_when(lambda: work_that_waits() < 8, 30)
    assert fault.errors() == []
    assert fleet.pids() == before


def work_that_waits():
    """Return the million pixels x steps in the queues of all instances; a picture of the users' is 0.5."""
    texts = [
        httpx.get(f"http://{lab.address(instance.partition('-')[0])}:{port}/metrics", timeout=10).text
        for instance, port in fleet.INSTANCES.items()
    ]
    return sum(
        float(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith(WAITS)
    )


def test_supervisor_hangs(fault):
    before, said = fleet.pids(), len(fleet.events("gpu1"))
    with fault.users():
        fault.strikes()
        fleet.GPU1.check_output("systemctl kill --kill-who=main --signal=STOP supervisor")
        try:
            fault.told_when(
                "figure supervisor_up: 0",
                lambda: fleet.figure("gpu1", "z_image_turbo_health_supervisor_up") == 0,
            )
        finally:
            fleet.GPU1.check_output("systemctl kill --kill-who=main --signal=CONT supervisor")
        fault.over_when(lambda: fleet.figure("gpu1", "z_image_turbo_health_supervisor_up") == 1, 60)
    assert fault.errors() == []
    assert fleet.pids() == before
    assert {one["event"] for one in fleet.events("gpu1", said)} == {"supervisor"}


def test_cron_is_killed(fault):
    before = fleet.GPU1.check_output("systemctl show cron --property MainPID --value")
    with fault.users():
        fault.strikes()
        fleet.GPU1.check_output("kill -9 %s", before)
        fault.over_when(
            lambda: (
                fleet.GPU1.check_output("systemctl show cron --property MainPID --value") not in {before, "0"}
            ),
            10,
        )
    assert fault.errors() == []


def test_nginx_is_killed_with_all_its_processes(fault):
    with fault.users():
        fault.strikes()
        fleet.GATEWAY.check_output("pkill -9 -x nginx")
        fault.over_when(fleet.whole, 30)
    # With one gateway there is nobody else: what is under way is lost, and what comes in the next seconds.
    assert fault.outage() < 10


def test_a_worker_of_nginx_is_killed(fault):
    workers = fleet.GATEWAY.check_output("pgrep -f 'nginx: worker process$'").split()
    with fault.users():
        fault.strikes()
        fleet.GATEWAY.check_output(f"kill -9 {workers[0]}")
        fault.over_when(fleet.whole, 30)
    assert len(fault.errors()) <= 3  # one for each user whose request it had


def test_the_pid_file_of_nginx_names_somebody_else(fault):
    fleet.GATEWAY.check_output("(setsid sleep 300 >/dev/null 2>&1 &)")
    innocent = fleet.GATEWAY.check_output("pgrep -n -x sleep")
    restarts = fleet.GATEWAY.check_output("systemctl show nginx --property NRestarts --value")
    fleet.GATEWAY.check_output(f"echo {innocent} >/run/nginx.pid")
    with fault.users():
        fault.strikes()
        fleet.GATEWAY.check_output("systemctl reload nginx")
        fleet.GATEWAY.check_output(f"kill {innocent}")  # it lives, and its end is nothing to Nginx
        fault.over_when(fleet.whole, 30)
    assert fault.errors() == []
    assert fleet.GATEWAY.check_output("systemctl show nginx --property NRestarts --value") == restarts


def test_a_gpu_host_reboots(fault):
    with fault.users():
        fault.strikes()
        fleet.podman("restart", "gpu2")
        fault.over_when(lambda: fleet.checked("gpu2", 70) and fleet.whole(), 150)
    assert fault.errors() == []
