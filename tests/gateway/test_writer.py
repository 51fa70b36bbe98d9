"""Putting a list of servers to work, with commands that stand in for Nginx and systemd."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.gateway.fleets import OPTIONS, content
from z_image_turbo_gateway import nginx
from z_image_turbo_gateway.fleet import Fleet, read_fleet
from z_image_turbo_gateway.levels import Level
from z_image_turbo_gateway.nginx import NginxError, Paths
from z_image_turbo_gateway.rendering import render, revision_of
from z_image_turbo_gateway.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUT = {"gpu0-a": Level.OUT}


class Gateway:
    """A gateway whose Nginx accepts, refuses, or does not follow."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = Paths(folder / "nginx", folder / "nginx.conf", folder)
        self.paths.main.write_text(f"http {{ include {self.paths.servers}; }}")
        self.accepts()
        self.follows = True
        self.reloads = 0
        self.running = ""
        server = self
        monkeypatch.setattr(nginx, "RELOAD_SECONDS", 0.5)
        real = nginx.run

        async def run(*command: str) -> tuple[int, str]:
            if command[0] == "systemctl":
                self.reloads += 1
                if self.follows:
                    self.running = revision_of(nginx.on_disk(self.paths))
                return 0, ""
            return await real(*command)

        monkeypatch.setattr(nginx, "run", run)

        class Health(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("X-Gateway-Fleet", server.running)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.health = HTTPServer(("127.0.0.1", 0), Health)
        threading.Thread(target=self.health.serve_forever, daemon=True).start()
        told = content(2, 2)
        told["options"] = {**OPTIONS, "health_url": f"http://127.0.0.1:{self.health.server_port}/"}
        self.paths.source.write_text(json.dumps(told))

    @property
    def fleet(self) -> Fleet:
        return read_fleet(self.paths.source)

    def accepts(self, answer: str = "exit 0") -> None:
        self.paths.nginx.write_text(f"#!/bin/sh\n{answer}\n")
        self.paths.nginx.chmod(0o755)

    def starts_with(self, text: str) -> None:
        self.paths.servers.write_text(text)
        self.running = revision_of(text)


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    made = Gateway(tmp_path, monkeypatch)
    made.starts_with(render(made.fleet, {}))
    yield made
    made.health.shutdown()


def follow(writer: Writer, gateway: Gateway, levels: dict[str, Level], now: float) -> None:
    asyncio.run(writer.follow(gateway.fleet, levels, now))


def test_what_runs_already_is_left_alone(gateway: Gateway) -> None:
    writer = Writer(gateway.paths)
    follow(writer, gateway, {}, 0)
    assert (writer.applied, gateway.reloads) == (True, 0)


def test_a_change_is_written_and_run(gateway: Gateway) -> None:
    writer = Writer(gateway.paths)
    follow(writer, gateway, OUT, 0)
    assert (writer.applied, gateway.reloads, writer.error) == (True, 1, "")
    assert gateway.paths.servers.read_text() == render(gateway.fleet, OUT)


def test_nginx_is_reloaded_every_five_seconds_at_most(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(gateway.paths)
    clock = [0.0]
    monkeypatch.setattr("z_image_turbo_gateway.writer.time.monotonic", lambda: clock[0])
    for tenth in range(200):
        clock[0] = tenth / 10
        follow(writer, gateway, OUT if tenth % 2 else {}, clock[0])
    assert 3 <= gateway.reloads <= 5


def test_a_list_that_nginx_refuses_changes_nothing_and_is_reported_with_its_line(gateway: Gateway) -> None:
    before = gateway.paths.servers.read_text()
    gateway.accepts('main=$4; echo "nginx: [emerg] bad in ${main%nginx.conf}fleet.conf:2"; exit 1')
    writer = Writer(gateway.paths)
    follow(writer, gateway, OUT, 0)
    assert gateway.paths.servers.read_text() == before
    assert (writer.applied, gateway.reloads) == (False, 0)
    assert writer.error.splitlines()[-1].startswith('fleet.conf:2: map "" $gateway_fleet')


def test_a_refused_list_is_tried_again_after_a_minute(gateway: Gateway) -> None:
    gateway.accepts("exit 1")
    writer = Writer(gateway.paths)
    follow(writer, gateway, OUT, 0)
    gateway.accepts()
    follow(writer, gateway, OUT, 30)
    assert not writer.applied
    follow(writer, gateway, OUT, 61)
    assert writer.applied


def test_a_reload_that_nginx_could_not_do_puts_the_old_list_back(gateway: Gateway) -> None:
    before = gateway.paths.servers.read_text()
    gateway.follows = False
    writer = Writer(gateway.paths)
    follow(writer, gateway, OUT, 0)
    assert gateway.paths.servers.read_text() == before
    assert "did not take" in writer.error


def test_a_reload_that_was_missed_is_made_good(gateway: Gateway) -> None:
    gateway.running = "another"
    follow(Writer(gateway.paths), gateway, {}, 0)
    assert gateway.reloads == 1


def test_without_a_running_nginx_the_list_is_written_for_its_start(gateway: Gateway) -> None:
    gateway.running = ""
    follow(Writer(gateway.paths), gateway, OUT, 0)
    assert gateway.reloads == 0
    assert gateway.paths.servers.read_text() == render(gateway.fleet, OUT)


def test_nginx_reads_the_whole_tree_with_the_new_list_in_it(gateway: Gateway) -> None:
    gateway.accepts('cat "$4"; exit 1')
    with pytest.raises(NginxError, match=r"http { include \S+/\.check-\S+/fleet\.conf; }"):
        asyncio.run(nginx.check("nothing", gateway.paths))


def test_before_there_is_a_main_file_the_list_is_read_alone(gateway: Gateway) -> None:
    gateway.paths.main.write_text("http { something of Debian }")
    gateway.accepts('grep -q Debian "$4" && exit 1; exit 0')
    asyncio.run(nginx.check("nothing", gateway.paths))
