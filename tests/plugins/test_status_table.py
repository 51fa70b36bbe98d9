"""The promises of the status table."""

from __future__ import annotations

from plugins.filter.status_table import status_table


def test_every_instance_has_an_aligned_row_with_its_state() -> None:
    first = {"id": "gpu1-a", "endpoint": "10.0.0.1:7861"}
    second = {"id": "gpu10-b", "endpoint": "10.0.0.10:7862"}
    table = status_table(
        [
            {"item": first, "json": {"status": "ready", "release": "0123456789ab"}},
            {"item": second, "msg": "Connection refused", "status": -1},
        ]
    )
    assert table == [
        "INSTANCE  ADDRESS         STATE                      RELEASE",
        "gpu1-a    10.0.0.1:7861   ready                      0123456789ab",
        "gpu10-b   10.0.0.10:7862  down (Connection refused)  -",
    ]
