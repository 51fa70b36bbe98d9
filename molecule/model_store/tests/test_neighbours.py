"""Five hosts and one source: one pull, the rest among themselves."""

import lab
import testinfra
from conftest import ADDRESSES, converge

HOSTS = [testinfra.get_host(spec) for spec in lab.hosts("model_store")]
NEIGHBOURS = [{"name": name, "address": address} for name, address in ADDRESSES.items()]
SHARED = "/var/lib/z-image-turbo/models/shared"


def verified(host):
    """Tell whether a host has the model, every file of it right."""
    return host.run(f"cd {SHARED}/current && sha256sum --check --strict SHA256SUMS").rc == 0


def serving(host):
    """Tell whether a host still serves its neighbours."""
    return host.run("systemctl is-active z-image-turbo-neighbour-shared").stdout.strip() == "active"


def test_five_hosts_get_a_model_with_one_pull_and_an_interrupted_run_is_completed_by_the_next(hub):
    hub.faults(die_after=2_500_000)
    interrupted = converge("model_store", name="shared", model_store_neighbours=NEIGHBOURS)
    assert interrupted.rc != 0
    assert "store1: cannot get the model shared from hf://lab/nano@111" in interrupted.output
    assert [verified(host) for host in HOSTS] == [False] * 5

    hub.faults()
    completed = converge("model_store", name="shared", model_store_neighbours=NEIGHBOURS)
    assert completed.rc == 0, completed.output
    assert [verified(host) for host in HOSTS] == [True] * 5
    assert {ask["from"] for ask in hub.asked()} == {ADDRESSES["store1"]}
    assert len(hub.asked("/cdn/")) < 4  # the large files are four: what had come was not fetched again
    assert [serving(host) for host in HOSTS] == [False] * 5


def test_a_new_host_is_served_by_one_that_the_run_does_not_touch_otherwise(hub):
    HOSTS[4].check_output(f"rm -rf {SHARED}")
    play = converge("store5", name="shared", model_store_neighbours=NEIGHBOURS)
    assert play.rc == 0, play.output
    assert verified(HOSTS[4])
    assert hub.asked() == []
    assert [serving(host) for host in HOSTS] == [False] * 5
