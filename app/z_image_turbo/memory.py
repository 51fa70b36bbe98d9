"""How much memory there is, in the shape that the web UI's clients read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

STATM = Path("/proc/self/statm")


def process_memory() -> dict[str, int]:
    """Return what this process uses of the machine's memory, in bytes."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page
    used = int(STATM.read_text(encoding="ascii").split()[1]) * page
    return {"free": total - used, "used": used, "total": total}


def device_memory() -> dict[str, Any]:
    """Return what is used of the GPU's memory, in bytes, or why that is unknown. For the worker's thread."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {"error": "no GPU is in use"}
    free, total = torch.cuda.mem_get_info()
    figures = torch.cuda.memory_stats()
    answer: dict[str, Any] = {"system": {"free": free, "used": total - free, "total": total}}
    for name, key in {
        "active": "active_bytes",
        "allocated": "allocated_bytes",
        "reserved": "reserved_bytes",
        "inactive": "inactive_split_bytes",
    }.items():
        answer[name] = {"current": figures[f"{key}.all.current"], "peak": figures[f"{key}.all.peak"]}
    answer["events"] = {"retries": figures["num_alloc_retries"], "oom": figures["num_ooms"]}
    return answer
