#!/usr/bin/env python3
"""Puts a certificate into service, and sees to it that what is served is what should be.

usage: z-image-turbo-certificate reconcile
       z-image-turbo-certificate install [--check]

"reconcile" does what its configuration says; a timer runs it too, and so does certbot after a renewal.
"install" takes certificate, chain and key from standard input, as PEM.

A certificate is validated in full before anything is replaced; certificate and key change places in one
step, by a link; a server that does not accept them gets the earlier ones back. It says "changed" where it
changed something.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import ipaddress
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG = Path("/etc/z-image-turbo/certificate.json")
PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
KEPT = 3
SELF_SIGNED_DAYS = 397
RENEW_DAYS = 30
WAIT_SECONDS = 10.0
METRIC = "z_image_turbo_certificate_"


class CertificateError(Exception):
    """What keeps a certificate from being put into service; the message is for the operator."""


class Config(NamedTuple):
    """What the role has written down."""

    source: str  # self_signed, acme, own
    names: list[str]
    folder: Path  # a link, to the version in service
    lineage: Path  # where certbot keeps the newest one
    served_at: str  # host:port
    validate: list[str]
    reload: list[str]
    metrics: Path

    @classmethod
    def read(cls, path: Path) -> Config:
        """Read it."""
        raw: dict[str, Any] = json.loads(path.read_text())
        paths = {key: Path(raw.pop(key)) for key in ("folder", "lineage", "metrics")}
        return cls(**raw, **paths)


class Pair(NamedTuple):
    """A certificate with its chain, and its key, as PEM."""

    chain: str
    key: str

    @property
    def identity(self) -> str:
        """Name it by its content."""
        return hashlib.sha256((self.chain + self.key).encode()).hexdigest()[:16]

    @property
    def leaf(self) -> bytes:
        """Return the server's own certificate, as DER."""
        return ssl.PEM_cert_to_DER_cert(_blocks(self.chain)[0][1])


def pair_of(text: str) -> Pair:
    """Return the pair in a text, which holds a key and one certificate or more, the server's own first."""
    blocks = _blocks(text)
    chain = [block for label, block in blocks if label == "CERTIFICATE"]
    keys = [block for label, block in blocks if label.endswith("PRIVATE KEY")]
    if not chain:
        raise CertificateError("there is no certificate in it (-----BEGIN CERTIFICATE-----)")
    if len(keys) != 1:
        raise CertificateError(f"it needs one private key and has {len(keys)}")
    return Pair("".join(f"{block}\n" for block in chain), f"{keys[0]}\n")


def pair_in(folder: Path) -> Pair | None:
    """Return the pair in a folder, if there is one."""
    try:
        return pair_of((folder / "fullchain.pem").read_text() + (folder / "privkey.pem").read_text())
    except FileNotFoundError:
        return None


def check(pair: Pair, names: Sequence[str] = ()) -> None:
    """Refuse a pair that no server could use, or that does not hold for all names."""
    with tempfile.TemporaryDirectory() as scratch:
        _write(Path(scratch), pair)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(f"{scratch}/fullchain.pem", f"{scratch}/privkey.pem", password=lambda: "")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise CertificateError("the key does not belong to the certificate") from None
            raise CertificateError(
                f"OpenSSL cannot read the certificate or the key: {error.reason or error}"
            ) from None
    end = not_after(pair.leaf)
    if end < time.time():
        raise CertificateError(
            f"the certificate expired at {datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M} UTC"
        )
    for name in names:
        option = "-checkip" if _is_address(name) else "-checkhost"
        if "NOT match" in _openssl(pair.leaf, "x509", "-inform", "DER", "-noout", option, name):
            raise CertificateError(f"the certificate does not hold for {name}")


def not_after(certificate: bytes) -> float:
    """Return when a certificate ends, in seconds since 1970."""
    said = _openssl(certificate, "x509", "-inform", "DER", "-noout", "-enddate", "-dateopt", "iso_8601")
    return datetime.fromisoformat(said.strip().removeprefix("notAfter=")).timestamp()


def served(served_at: str, name: str) -> bytes | None:
    """Return the certificate that clients get, as DER; none where nobody answers."""
    host, port = served_at.rsplit(":", 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, int(port)), timeout=5) as connection,
            context.wrap_socket(connection, server_hostname=name) as tls,
        ):
            return tls.getpeercert(binary_form=True)
    except OSError:
        return None


def install(config: Config, pair: Pair) -> bool:
    """Put a pair into service; tell whether it was another one before."""
    if pair_in(config.folder) == pair:
        return False
    root = config.folder.parent
    version = root / pair.identity
    if not version.exists():
        scratch = Path(tempfile.mkdtemp(dir=root, prefix=".new-"))
        _write(scratch, pair)
        scratch.rename(version)
    before = config.folder.readlink() if config.folder.is_symlink() else None
    _point(config.folder, Path(version.name))
    accepted = _run(config.validate)
    if accepted.returncode:
        if before:
            _point(config.folder, before)
        raise CertificateError(
            f"the server does not accept it, the earlier one stays: {accepted.stderr.decode().strip()}"
        )
    _forget_old(root, config.folder)
    return True


def bring_to_clients(config: Config) -> bool:
    """See to it that clients get the certificate in the folder; tell whether that took a reload."""
    pair = pair_in(config.folder)
    if pair is None:
        raise CertificateError(f"there is no certificate in {config.folder}")
    if served(config.served_at, config.names[0]) == pair.leaf:
        return False
    done = _run(config.reload)
    if done.returncode:
        raise CertificateError(f"{' '.join(config.reload)} failed: {done.stderr.decode().strip()}")
    deadline = time.monotonic() + WAIT_SECONDS
    while served(config.served_at, config.names[0]) != pair.leaf:
        if time.monotonic() > deadline:
            raise CertificateError(f"{config.served_at} does not serve the certificate in {config.folder}")
        time.sleep(0.2)
    return True


def wanted(config: Config) -> Pair | None:
    """Return the pair that should be in service; none where there is nothing newer than what is."""
    if config.source == "acme":
        return pair_in(config.lineage)
    if config.source == "self_signed":
        current = pair_in(config.folder)
        if current is None or not _own_work(current, config.names):
            return self_signed(config.names)
    return None


def self_signed(names: list[str]) -> Pair:
    """Make a certificate that nobody has signed."""
    alternatives = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
    command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", str(SELF_SIGNED_DAYS), "-subj", f"/CN={names[0][:64]}", "-keyout", "-"]
    command += ["-addext", f"subjectAltName={alternatives}", "-addext", "basicConstraints=critical,CA:FALSE"]
    return pair_of(_openssl(b"", *command))


def reconcile(config: Config) -> bool:
    """Bring source, folder and server in line; tell whether that changed something."""
    changed = False
    try:
        pair = wanted(config)
        if pair is not None and pair != pair_in(config.folder):
            check(pair)
            changed = install(config, pair)
        changed = bring_to_clients(config) or changed
    except CertificateError:
        write_metrics(config, healthy=False)
        raise
    write_metrics(config, healthy=True)
    return changed


def write_metrics(config: Config, *, healthy: bool) -> None:
    """Write what Prometheus reads by way of the node exporter."""
    lines = [
        f"# HELP {METRIC}healthy Whether the newest certificate is the one that clients get.",
        f"# TYPE {METRIC}healthy gauge",
        f"{METRIC}healthy {int(healthy)}",
        f"# HELP {METRIC}checked_seconds When this was looked at.",
        f"# TYPE {METRIC}checked_seconds gauge",
        f"{METRIC}checked_seconds {time.time():.0f}",
        f"# HELP {METRIC}not_after_seconds When the certificate ends: on disk, and the one that clients get.",
        f"# TYPE {METRIC}not_after_seconds gauge",
    ]
    pair = pair_in(config.folder)
    for where, leaf in (
        ("disk", pair.leaf if pair else None),
        ("served", served(config.served_at, config.names[0])),
    ):
        if leaf:
            lines.append(f'{METRIC}not_after_seconds{{where="{where}"}} {not_after(leaf):.0f}')
    scratch = config.metrics.with_suffix(".new")
    scratch.write_text("\n".join(lines) + "\n")
    scratch.chmod(0o644)
    scratch.replace(config.metrics)


def _own_work(pair: Pair, names: list[str]) -> bool:
    """Tell whether a pair is self-signed, for just these names, and good for a while."""
    said = _openssl(
        pair.leaf, "x509", "-inform", "DER", "-noout", "-subject", "-issuer", "-ext", "subjectAltName"
    )
    subject, issuer = (re.search(rf"^{key}=(.*)$", said, re.MULTILINE) for key in ("subject", "issuer"))
    found = {entry.split(":", 1)[1] for entry in re.findall(r"(?:DNS|IP Address):[^,\s]+", said)}
    return (
        subject is not None
        and issuer is not None
        and subject[1] == issuer[1]
        and {_canonical(name) for name in found} == {_canonical(name) for name in names}
        and not_after(pair.leaf) > time.time() + RENEW_DAYS * 86400
    )


def _canonical(name: str) -> str:
    return ipaddress.ip_address(name).compressed if _is_address(name) else name.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _blocks(text: str) -> list[tuple[str, str]]:
    """Return the PEM blocks of a text, each with its label."""
    return [(found[1], found[0]) for found in PEM.finditer(text)]


def _openssl(given: bytes, *arguments: str) -> str:
    done = _run(["/usr/bin/openssl", *arguments], given)
    # What -checkhost and -checkip find is on standard output; some versions exit with 1 as well.
    if done.returncode and not done.stdout:
        raise CertificateError(f"openssl {arguments[0]}: {done.stderr.decode().strip()}")
    return done.stdout.decode()


def _run(command: list[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=given, capture_output=True, check=False)  # noqa: S603 - the role's own


def _write(folder: Path, pair: Pair) -> None:
    """Write a pair, readable by root alone, so that it survives a crash."""
    for name, text in (("privkey.pem", pair.key), ("fullchain.pem", pair.chain)):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def _point(link: Path, target: Path) -> None:
    """Have a link lead elsewhere, in one step."""
    scratch = link.with_name(f".{link.name}.new")
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(target)
    scratch.replace(link)


def _forget_old(root: Path, current: Path) -> None:
    """Remove all versions but the newest, and what interrupted runs and the first certificate have left."""
    in_service = current.resolve()
    ours = [
        path
        for path in root.iterdir()
        if re.fullmatch(r"[0-9a-f]{16}|[.]new-.*|placeholder", path.name)
        and path.is_dir()
        and not path.is_symlink()
        and path != in_service
    ]
    versions = [path for path in ours if re.fullmatch(r"[0-9a-f]{16}", path.name)]
    newest = sorted(versions, key=lambda path: path.stat().st_mtime)[-(KEPT - 1) :]
    for path in ours:
        if path not in newest:
            shutil.rmtree(path)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["reconcile", "install"])
    parser.add_argument("--check", action="store_true", help="only tell what would come of it")
    parser.add_argument("--config", type=Path, default=CONFIG)
    arguments = parser.parse_args()
    os.umask(0o077)
    try:
        config = Config.read(arguments.config)
        with Path(f"{arguments.config}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            changed = False
            if arguments.command == "install":
                pair = pair_of(sys.stdin.read())
                check(pair, config.names)
                changed = pair_in(config.folder) != pair if arguments.check else install(config, pair)
            if not arguments.check:
                changed = reconcile(config) or changed
    except CertificateError as error:
        sys.exit(f"certificate: {error}")
    sys.stdout.write("changed\n" if changed else "unchanged\n")


if __name__ == "__main__":
    main()
