#!/usr/bin/python3
"""Makes a small signed stand-in of NVIDIA's repository, with the packages of a driver in several versions.

usage: make_repository.py FOLDER VERSION...    the key that signs is FOLDER/key.asc
       make_repository.py --loaded             what the kernel has after a boot: the version that is installed
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

STATE = Path("/etc/fake-nvidia.json")
POSTINST = "#!/bin/sh\nset -e\n/srv/make_repository.py --installed {version}\n"
UNIT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
COMMANDS = {"fake_nvidia_smi.py": "nvidia-smi", "fake_mps_control.sh": "nvidia-cuda-mps-control"}
PACKAGES = {
    "nvidia-driver-cuda": "Depends: nvidia-persistenced (= {version}-1)\n",
    "nvidia-kernel-open-dkms": "Conflicts: nvidia-kernel-dkms\n",
    "nvidia-kernel-dkms": "Conflicts: nvidia-kernel-open-dkms\n",
    "nvidia-persistenced": "",
}


def package(folder, name, version):
    """Build one package; return its stanza in the list of packages."""
    with tempfile.TemporaryDirectory() as root:
        tree = Path(root, "tree")
        (tree / "DEBIAN").mkdir(parents=True)
        tree.chmod(0o755)
        control = (
            f"Package: {name}\nVersion: {version}-1\nArchitecture: all\nMaintainer: Lab <lab@example.org>\n"
            f"{PACKAGES[name].format(version=version)}Description: stand-in\n"
        )
        (tree / "DEBIAN/control").write_text(control)
        if name == "nvidia-driver-cuda":
            (tree / "usr/bin").mkdir(parents=True)
            for stand_in, command in COMMANDS.items():
                (tree / "usr/bin" / command).write_bytes(Path("/srv", stand_in).read_bytes())
                (tree / "usr/bin" / command).chmod(0o755)
        if name == "nvidia-persistenced":
            (tree / "lib/systemd/system").mkdir(parents=True)
            (tree / "lib/systemd/system/nvidia-persistenced.service").write_text(UNIT)
        if "dkms" in name:
            postinst = tree / "DEBIAN/postinst"
            postinst.write_text(POSTINST.format(version=version))
            postinst.chmod(0o755)
        file = folder / f"{name}_{version}-1_all.deb"
        run("dpkg-deb", "--build", "--root-owner-group", tree, file)
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return f"{control}Filename: ./{file.name}\nSize: {len(content)}\nSHA256: {digest}\n"


def sign(folder):
    """Sign the list of packages by a key that is made once."""
    home = folder / "gnupg"
    gpg = ("gpg", "--homedir", home, "--batch", "--yes", "--quiet")
    if not home.is_dir():
        home.mkdir(mode=0o700)
        run(
            *gpg,
            "--passphrase",
            "",
            "--quick-generate-key",
            "Lab <lab@example.org>",
            "ed25519",
            "sign",
            "never",
        )
        run(*gpg, "--armor", "--output", folder / "key.asc", "--export")
    packages = (folder / "Packages").read_bytes()
    digest = hashlib.sha256(packages).hexdigest()
    release = folder / "Release"
    release.write_text(
        "Origin: NVIDIA\nLabel: NVIDIA\nDate: Tue, 24 Nov 2026 00:00:00 UTC\n"
        f"SHA256:\n {digest} {len(packages)} Packages\n"
    )
    run(*gpg, "--clearsign", "--output", folder / "InRelease", release)


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def kernel(installed=None):
    """Change what the kernel has: by a package it is loaded once, by a boot it is what is installed."""
    state = json.loads(STATE.read_text())
    state["installed"] = installed or state.get("installed")
    if not installed or "driver" not in state:
        state["driver"] = state["installed"]
    state["mode"] = "ok" if state["driver"] == state["installed"] else "mismatch"
    state["cuda"] = "12.8" if state["driver"].startswith("570") else "13.0"
    STATE.write_text(json.dumps(state))


def main():
    if sys.argv[1] == "--loaded":
        kernel()
    elif sys.argv[1] == "--installed":
        kernel(sys.argv[2])
    else:
        folder = Path(sys.argv[1])
        folder.mkdir(exist_ok=True)
        stanzas = [package(folder, name, version) for version in sys.argv[2:] for name in PACKAGES]
        (folder / "Packages").write_text("\n".join(stanzas))
        sign(folder)


main()
