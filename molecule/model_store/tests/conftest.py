"""The hub of the lab, as the tests order its faults and ask what it was asked."""

import httpx
import lab
import pytest

COMMIT, NEXT = "1" * 40, "2" * 40
ADDRESSES = {name: lab.address(name) for name in lab.names("model_store")}


class Hub:
    """The hub on its host."""

    url = f"http://{lab.address('hub1')}:8000"

    def faults(self, **faults):
        """Order faults, and forget what was asked before."""
        httpx.put(f"{self.url}/lab/faults", json=faults).raise_for_status()

    def asked(self, word=""):
        """Return the requests, as far as their path has a word in it."""
        return [ask for ask in httpx.get(f"{self.url}/lab/requests").json() if word in ask["path"]]


@pytest.fixture
def hub():
    """Return the hub, in order before and after the test."""
    lab_hub = Hub()
    lab_hub.faults()
    yield lab_hub
    lab_hub.faults()


def converge(limit, *, name="z-image-turbo", commit=COMMIT, kind="hf", **variables):
    """Run the role on hosts, with the hub of the lab as the source unless told otherwise."""
    variables = {
        "model_store_source": f"{kind}://lab/nano@{commit}",
        "model_store_endpoint": "http://hub1:8000",
        "model_store_source_on_host": True,
        "model_store_name": name,
        **variables,
    }
    return lab.play("molecule/model_store/role.yml", limit, **variables)
