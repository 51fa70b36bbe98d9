"""The instances of a host load their models in turns."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from tests.app.conftest import MakeSettings, until
from tests.app.fakes import FakeEngine
from z_image_turbo.lifecycle import State
from z_image_turbo.service import Service
from z_image_turbo.turns import turn

HOLD = """
import sys
from pathlib import Path
from z_image_turbo.turns import turn

with turn(Path(sys.argv[1]), 1, lambda: None):
    print("has it", flush=True)
    sys.stdin.read()
"""


def instance(settings_for: MakeSettings, folder: Path, at_once: int) -> tuple[Service, FakeEngine]:
    engine = FakeEngine()
    engine.load_go.clear()
    return Service(settings_for(load_turns=folder, loads_at_once=at_once), engine), engine


def test_no_more_than_so_many_load_at_once_and_the_others_say_that_they_wait(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    services = [instance(settings_for, tmp_path, 2) for _ in range(4)]
    for service, _ in services:
        service.start()

    def reasons() -> list[str]:
        return sorted(service.lifecycle.reason for service, _ in services)

    loading, waiting = "the model is being loaded", "waiting for other instances to load their models"
    until(lambda: reasons() == [loading] * 2 + [waiting] * 2)
    for engine in [engine for service, engine in services if service.lifecycle.reason == loading]:
        engine.load_go.set()
    until(lambda: reasons() == ["accepting jobs"] * 2 + [loading] * 2)
    for _, engine in services:
        engine.load_go.set()
    until(lambda: all(service.lifecycle.state is State.READY for service, _ in services))
    for service, _ in services:
        service.stop()


def test_a_process_that_dies_gives_its_turn_to_the_next(tmp_path: Path) -> None:
    app = Path(__file__).parents[2] / "app"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        cwd=app,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "has it\n"
        waits, has = threading.Event(), threading.Event()

        def take() -> None:
            with turn(tmp_path, 1, waits.set):
                has.set()

        threading.Thread(target=take, daemon=True).start()
        assert waits.wait(10)
        assert not has.is_set()
        other.kill()
        assert has.wait(10)


def test_a_folder_that_cannot_be_used_holds_nobody_up(tmp_path: Path) -> None:
    with turn(tmp_path / "not there", 1, lambda: None):
        pass
