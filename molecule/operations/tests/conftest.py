"""The application, a change, and the people who use the service meanwhile."""

import lab
import pytest
import service
from change import Change


@pytest.fixture(scope="module")
def the_application():
    """Begin with the application, whatever earlier tests have left."""
    play = lab.play("site.yml", "", inventory=service.INVENTORY, tags="z_image_turbo")
    assert play.rc == 0, play.output


@pytest.fixture
def change(request):
    """Measure what a test does; its name is that of the figures."""
    return Change(request.node.name.removeprefix("test_"))
