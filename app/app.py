"""The command that runs one instance: `python app.py --port 7861 --model-path DIR`."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from z_image_turbo import logs
from z_image_turbo.settings import SettingsRefused, read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from z_image_turbo.settings import Settings

EXIT_SETTINGS = 2

log = logging.getLogger("app")


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal and return the exit status: 0, or 2 when the settings are refused."""
    # From here on a stop is a clean exit, also in the seconds before the server takes the signals over.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = read_settings(arguments)
    except SettingsRefused as refusal:
        for line in str(refusal).splitlines():
            sys.stderr.write(f"app.py: {line}\n")
        return EXIT_SETTINGS
    logs.set_up(settings)
    with ExitStack() as stack:
        try:
            temp_dir = make_temp_dir(settings, stack)
        except OSError as error:
            sys.stderr.write(f"app.py: temp_dir: {error}\n")
            return EXIT_SETTINGS
        try:
            listener = stack.enter_context(bind(settings))
        except OSError as error:
            sys.stderr.write(f"app.py: host, port: {settings.host}:{settings.port}: {error}\n")
            return EXIT_SETTINGS
        prepare_environment(temp_dir)
        serve(settings, temp_dir, listener)
    return 0


def make_temp_dir(settings: Settings, stack: ExitStack) -> Path:
    """Return the folder of the page's files, made when needed; a private one is removed by `stack`."""
    if settings.temp_dir is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{settings.name}-")))
    settings.temp_dir.mkdir(parents=True, exist_ok=True)
    return settings.temp_dir.resolve()


def bind(settings: Settings) -> socket.socket:
    """Return the socket to listen on later: a port in use is found out before the seconds of importing."""
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError:
        listener.close()
        raise
    return listener


def prepare_environment(temp_dir: Path) -> None:
    """Set what the libraries read from the environment when they are imported: no network, no telemetry."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(temp_dir)


def serve(settings: Settings, temp_dir: Path, listener: socket.socket) -> None:
    """Build the instance and run its server."""
    from z_image_turbo.application import create_application  # noqa: PLC0415 - needs the environment
    from z_image_turbo.engine import DiffusersEngine  # noqa: PLC0415
    from z_image_turbo.server import DrainingServer  # noqa: PLC0415
    from z_image_turbo.service import Service  # noqa: PLC0415

    service = Service(settings, DiffusersEngine(settings))
    server = DrainingServer(create_application(service, temp_dir), service)
    log.info("starting", extra={"release": settings.release, "port": settings.port})
    server.run([listener])
    log.info("stopped")


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 0
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit: the worker may still be inside PyTorch, and unwinding the interpreter under it can crash.
    os._exit(status)
