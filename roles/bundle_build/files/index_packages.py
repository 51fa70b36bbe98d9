"""Write the index of a folder of Debian packages, so that apt can install from it.

usage: index_packages.py FOLDER
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path


def entry(package: Path) -> str:
    """Return what the index says about a package."""
    control = subprocess.run(  # noqa: S603
        ["/usr/bin/dpkg-deb", "--field", str(package)], capture_output=True, text=True, check=True
    ).stdout.strip()
    content = package.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return f"{control}\nFilename: ./{package.name}\nSize: {len(content)}\nSHA256: {sha256}\n"


def main() -> None:
    """Run the command."""
    folder = Path(sys.argv[1])
    index = "\n".join(map(entry, sorted(folder.glob("*.deb")))).encode()
    (folder / "Packages").write_bytes(index)
    # With it apt asks for this one index, and not for each of its compressed forms in turn.
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S UTC")
    sha256 = hashlib.sha256(index).hexdigest()
    (folder / "Release").write_text(f"Date: {now}\nSHA256:\n {sha256} {len(index)} Packages\n")


if __name__ == "__main__":
    main()
