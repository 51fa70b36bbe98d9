"""A fault, the people who use the service meanwhile, and what was measured."""

import fleet
import lab
import measured
import pytest

PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Remember whether a test passed."""
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture
def fault(request):
    """Begin with a service that is whole; keep the figures of a test that passed."""
    lab.wait_until(lambda: all(fleet.checked(host) for host in fleet.HOSTS), 150)
    lab.wait_until(fleet.whole, 150)
    made = measured.Measured(request.node.name.removeprefix("test_"), fleet.URL)
    yield made
    if request.node.stash.get(PASSED, False):
        made.keep()
