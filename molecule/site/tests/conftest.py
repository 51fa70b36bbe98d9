"""The service as its users reach it: through the gateway."""

import lab
import pytest


@pytest.fixture(scope="session")
def url():
    """Return the address of the service."""
    return f"http://{lab.address('gw1')}"
