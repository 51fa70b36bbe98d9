"""The configuration as Gixy sees it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host


def values_of(config: str, variable: str) -> set[str]:
    """Return what a map can make of a variable, other maps followed."""
    block = re.search(rf"^\s*map \S+ \${variable} {{$(.*?)^\s*}}$", config, re.MULTILINE | re.DOTALL)
    assert block, f"${variable} does not come from a map"
    lines = [line.split("#")[0].strip() for line in block[1].splitlines()]
    found = {
        line.removesuffix(";").split()[-1] for line in lines if line.endswith(";") and line != "volatile;"
    }
    return set().union(
        *(values_of(config, value[1:]) if value.startswith("$") else {value} for value in found)
    )


@pytest.mark.parametrize("kind", ["open", "guarded"])
def test_gixy_finds_nothing(machine: Host, guarded: Host, tmp_path: Path, kind: str) -> None:
    config = (machine if kind == "open" else guarded).run("nginx -T").stdout
    dump = tmp_path / "nginx.conf"
    dump.write_text(config)
    gixy = Path(sys.executable).with_name("gixy")
    done = subprocess.run([gixy, "--format=json", dump], capture_output=True, text=True, check=False)
    findings = json.loads(done.stdout)
    # Gixy takes a variable in proxy_pass for a name to be looked up. Here it is always that of an upstream.
    names = [finding for finding in findings if finding["plugin"] == "missing_resolver"]
    upstreams = set(re.findall(r"^\s*upstream (\S+) {$", config, re.MULTILINE))
    variables = {
        name for finding in names for name in re.findall(r"proxy_pass http://\$(\w+);", finding["config"])
    }
    for variable in variables:
        assert values_of(config, variable) <= upstreams
    assert [finding for finding in findings if finding not in names] == []
