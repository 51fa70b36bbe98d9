"""What the agent tells Prometheus."""

from __future__ import annotations

from pathlib import Path

from z_image_turbo_gateway.figures import INTERVAL_SECONDS, FiguresFile, exposition

REPORT = {
    "program": "p1",
    "source": "s1",
    "applied": True,
    "error": "",
    "instances": {
        "gpu1-a": {"level": "in", "reason": "", "drained": False, "connections": 3},
        "gpu1-b": {"level": "out", "reason": "it does not answer", "drained": True, "connections": 0},
    },
}


def test_each_instance_is_told_with_its_level_its_mark_and_its_connections() -> None:
    lines = exposition(REPORT).splitlines()
    for line in (
        'z_image_turbo_gateway_level{instance="gpu1-a",level="in"} 1',
        'z_image_turbo_gateway_level{instance="gpu1-b",level="in"} 0',
        'z_image_turbo_gateway_level{instance="gpu1-b",level="out"} 1',
        'z_image_turbo_gateway_drained{instance="gpu1-b"} 1',
        'z_image_turbo_gateway_connections{instance="gpu1-a"} 3',
        "z_image_turbo_gateway_applied 1",
        'z_image_turbo_gateway_fleet_info{source="s1",program="p1"} 1',
    ):
        assert line in lines


def test_the_file_is_written_every_few_seconds_only(tmp_path: Path) -> None:
    path = tmp_path / "gateway.prom"
    figures = FiguresFile(path)
    figures.follow(REPORT, 100.0)
    first = path.read_text()
    figures.follow({**REPORT, "source": "s2"}, 100.0 + INTERVAL_SECONDS / 2)
    assert path.read_text() == first
    figures.follow({**REPORT, "source": "s2"}, 100.0 + INTERVAL_SECONDS)
    assert 'source="s2"' in path.read_text()
    assert [found.name for found in tmp_path.iterdir()] == ["gateway.prom"]


def test_a_host_without_the_folder_gets_no_file_and_a_full_disk_is_no_fault(tmp_path: Path) -> None:
    FiguresFile(tmp_path / "none" / "gateway.prom").follow(REPORT, 0.0)
    assert list(tmp_path.iterdir()) == []
    in_the_way = tmp_path / "gateway.prom"
    in_the_way.mkdir()
    FiguresFile(in_the_way).follow(REPORT, 0.0)
    assert in_the_way.is_dir()
