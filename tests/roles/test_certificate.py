"""A certificate is put into service as a whole or not at all, and clients get the newest one."""

from __future__ import annotations

import importlib.util
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parents[2] / "roles" / "certificates" / "files" / "certificate.py"
spec = importlib.util.spec_from_file_location("certificate", SCRIPT)
assert spec is not None
assert spec.loader is not None
certificate: Any = importlib.util.module_from_spec(spec)
sys.modules["certificate"] = certificate
spec.loader.exec_module(certificate)

NAMES = ["pictures.test", "192.0.2.1"]


class Server:
    """A server that serves the certificate it has read last, as Nginx does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.context: ssl.SSLContext | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def load(self) -> None:
        """Read the certificate on disk."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "fullchain.pem", self.folder / "privkey.pem")
        self.context = context

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                if self.context:
                    try:
                        self.context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        continue


class Service:
    """A server, the folder it reads from, and the configuration of the command."""

    def __init__(self, root: Path) -> None:
        self.lineage = root / "live"
        self.lineage.mkdir()
        (root / "tls").mkdir()
        self.folder = root / "tls" / "current"
        self.metrics = root / "certificate.prom"
        self.server = Server(self.folder)
        self.accepts = True
        self.reloads = True
        self.config = certificate.Config(
            "acme",
            NAMES,
            self.folder,
            self.lineage,
            self.server.address,
            ["validate"],
            ["reload"],
            self.metrics,
        )

    def command(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Stand in for the server's own commands; run all others."""
        if command == ["validate"]:
            return subprocess.CompletedProcess(command, 0 if self.accepts else 1, b"", b"it is broken")
        if command == ["reload"]:
            if self.reloads:
                self.server.load()
            return subprocess.CompletedProcess(command, 0, b"", b"")
        return REAL_RUN(command, **options)

    def served(self) -> bytes | None:
        """Return what clients get."""
        found: bytes | None = certificate.served(self.server.address, NAMES[0])
        return found


REAL_RUN = subprocess.run


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service(tmp_path)
    monkeypatch.setattr(certificate.subprocess, "run", made.command)
    monkeypatch.setattr(certificate, "WAIT_SECONDS", 0.5)
    yield made
    made.server.listener.close()


@pytest.fixture
def pair() -> Any:
    return certificate.self_signed(NAMES)


def issue(service: Service, pair: Any) -> None:
    (service.lineage / "fullchain.pem").write_text(pair.chain)
    (service.lineage / "privkey.pem").write_text(pair.key)


def test_a_new_certificate_reaches_the_clients(service: Service, pair: Any) -> None:
    issue(service, pair)
    assert certificate.reconcile(service.config)
    assert service.served() == pair.leaf
    assert not certificate.reconcile(service.config)


def test_its_key_is_readable_by_root_alone(service: Service, pair: Any) -> None:
    certificate.install(service.config, pair)
    assert (service.folder / "privkey.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_of_another_certificate_replaces_nothing(service: Service, pair: Any) -> None:
    issue(service, pair)
    certificate.reconcile(service.config)
    issue(service, certificate.Pair(pair.chain, certificate.self_signed(NAMES).key))
    with pytest.raises(certificate.CertificateError, match="the key does not belong to the certificate"):
        certificate.reconcile(service.config)
    assert certificate.pair_in(service.folder) == pair
    assert service.served() == pair.leaf


def test_a_certificate_that_the_server_does_not_accept_gives_way_to_the_earlier_one(
    service: Service, pair: Any
) -> None:
    certificate.install(service.config, pair)
    service.accepts = False
    with pytest.raises(certificate.CertificateError, match="it is broken"):
        certificate.install(service.config, certificate.self_signed(NAMES))
    assert certificate.pair_in(service.folder) == pair


def test_a_reload_that_does_nothing_is_an_error_and_seen_in_the_figures(service: Service, pair: Any) -> None:
    issue(service, pair)
    service.reloads = False
    with pytest.raises(certificate.CertificateError, match="does not serve"):
        certificate.reconcile(service.config)
    assert "z_image_turbo_certificate_healthy 0" in service.metrics.read_text()
    service.reloads = True
    assert certificate.reconcile(service.config)
    assert "z_image_turbo_certificate_healthy 1" in service.metrics.read_text()


def test_figures_tell_when_the_certificates_end(service: Service, pair: Any) -> None:
    issue(service, pair)
    certificate.reconcile(service.config)
    end = f"{certificate.not_after(pair.leaf):.0f}"
    for where in ("disk", "served"):
        assert f'not_after_seconds{{where="{where}"}} {end}' in service.metrics.read_text()


@pytest.mark.parametrize(
    ("names", "reason"), [(["other.test"], "does not hold for other.test"), (["192.0.2.2"], "for 192.0.2.2")]
)
def test_a_certificate_for_other_names_is_refused(names: list[str], reason: str, pair: Any) -> None:
    with pytest.raises(certificate.CertificateError, match=reason):
        certificate.check(pair, names)


def test_one_that_has_ended_is_refused(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate.time, "time", lambda: certificate.not_after(pair.leaf) + 1)
    with pytest.raises(certificate.CertificateError, match="expired"):
        certificate.check(pair)


@pytest.mark.parametrize(
    ("text", "reason"), [("", "no certificate"), ("chain", "one private key and has 0"), ("twice", "has 2")]
)
def test_what_is_no_certificate_with_its_key_is_refused(text: str, reason: str, pair: Any) -> None:
    given = {"chain": pair.chain, "twice": pair.chain + pair.key * 2}.get(text, text)
    with pytest.raises(certificate.CertificateError, match=reason):
        certificate.pair_of(given)


def test_a_self_signed_one_is_made_anew_for_other_names_and_near_its_end(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = service.config._replace(source="self_signed")
    assert certificate.reconcile(config)
    assert not certificate.reconcile(config)
    assert certificate.reconcile(config._replace(names=[*NAMES, "www.pictures.test"]))
    now = certificate.time.time()
    monkeypatch.setattr(certificate.time, "time", lambda: now + 370 * 86400)
    assert certificate.reconcile(config._replace(names=[*NAMES, "www.pictures.test"]))


def test_a_few_earlier_ones_are_kept_and_what_is_somebody_elses(service: Service) -> None:
    (service.folder.parent / "private").mkdir()
    (service.folder.parent / ".new-interrupted").mkdir()
    for _ in range(5):
        certificate.install(service.config, certificate.self_signed(NAMES))
    there = [path.name for path in service.folder.parent.iterdir() if not path.is_symlink()]
    assert len(there) == certificate.KEPT + 1
    assert "private" in there
    assert ".new-interrupted" not in there
