"""Writes the dashboards for Grafana."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from scripts.dashboards.gateway import gateway
from scripts.dashboards.gpu import gpu
from scripts.dashboards.instances import instances
from scripts.dashboards.service import service

FOLDER = Path(__file__).parents[2] / "roles" / "monitoring" / "files" / "dashboards"
DASHBOARDS = {"service": service, "instances": instances, "gpu": gpu, "gateway": gateway}


def text_of(dashboard: Dashboard) -> str:
    """Return the JSON of a dashboard, with everything in a fixed order."""
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard) + "\n"


def main() -> None:
    """Write what differs, and say so."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in DASHBOARDS.items():
        path, text = FOLDER / f"{name}.json", text_of(make())
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
