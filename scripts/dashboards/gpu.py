"""The dashboard *GPU*: load, memory, heat, clocks and errors of every GPU."""

from grafana_foundation_sdk.models import dashboard as models

from scripts.dashboards.parts import (
    BLUE,
    FULL,
    GREEN,
    HALF,
    RED,
    YELLOW,
    About,
    Query,
    State,
    board,
    lines,
    number,
    rows,
    selection,
    states,
)

OWN = 'host=~"$host",gpu=~"$gpu"'
HOST = 'host=~"$host"'
WHICH = "{{host}} GPU {{gpu}}"


def gpu() -> models.Dashboard:
    """Return the dashboard."""
    found = [
        number(
            About(
                "GPUs",
                "GPUs that the drivers list, and those that the inventory names.",
                "none",
                empty="no figures of GPUs",
            ),
            Query(f"count(z_image_turbo_gpu_info{{{HOST}}})", "found"),
            Query(f"sum(z_image_turbo_gpu_expected{{{HOST}}})", "in the inventory"),
            limits={1: GREEN},
            base=RED,
        ),
        number(
            About(
                "Hottest",
                "The highest temperature of all. Above 87 °C for five minutes is an alert.",
                "celsius",
                empty="no figures of GPUs",
            ),
            Query(f"max(z_image_turbo_gpu_temperature_celsius{{{OWN}}})", "°C"),
            limits={80: YELLOW, 87: RED},
        ),
        number(
            About("Power", "Power that all of them draw now.", "watt", empty="no figures of GPUs"),
            Query(f"sum(z_image_turbo_gpu_power_watts{{{OWN}}})", "W"),
        ),
        rows(
            About("What they are", "Model, driver and identity of each GPU.", empty="no figures of GPUs"),
            Query(f"z_image_turbo_gpu_info{{{OWN}}}"),
            width=FULL,
        ),
    ]
    use = [
        lines(
            About(
                "Use",
                "Share of the time in which the GPU computed something.",
                "percentunit",
                empty="no figures of GPUs",
            ),
            Query(f"z_image_turbo_gpu_utilization_ratio{{{OWN}}}", WHICH),
        ),
        lines(
            About(
                "Memory",
                "Memory in use, by anybody, as a share of all of it.",
                "percentunit",
                empty="no figures of GPUs",
            ),
            Query(
                f"z_image_turbo_gpu_memory_used_bytes{{{OWN}}} / z_image_turbo_gpu_memory_total_bytes", WHICH
            ),
            limits={0.95: YELLOW},
        ),
        lines(
            About(
                "Memory of the instances",
                "What each instance's process has in use (allocated) and holds in reserve (reserved).",
                "bytes",
                empty="no instance draws on a GPU",
            ),
            Query(
                'zimage_gpu_memory_bytes{host=~"$host",kind=~"allocated|reserved"}', "{{instance}} {{kind}}"
            ),
        ),
        lines(
            About(
                "Power of each",
                "Power that each draws, and its limit. At the limit under full load is normal.",
                "watt",
                empty="no figures of GPUs",
            ),
            Query(f"z_image_turbo_gpu_power_watts{{{OWN}}}", WHICH),
            Query(f"z_image_turbo_gpu_power_limit_watts{{{OWN}}}", f"{WHICH} limit"),
        ),
        lines(
            About(
                "Temperature",
                "Above 87 °C for five minutes is an alert.",
                "celsius",
                empty="no figures of GPUs",
            ),
            Query(f"z_image_turbo_gpu_temperature_celsius{{{OWN}}}", WHICH),
            limits={80: YELLOW, 87: RED},
        ),
        lines(
            About(
                "Clock",
                "Clock of the processors as a share of the highest. Low under load: it is slowed down.",
                "percentunit",
                empty="no figures of GPUs",
            ),
            Query(f"z_image_turbo_gpu_clock_sm_hertz{{{OWN}}} / z_image_turbo_gpu_clock_sm_max_hertz", WHICH),
        ),
    ]
    trouble = [
        states(
            About(
                "Slowed down",
                "Why the clock was lowered. The power cap is normal at full load; heat and brake are not.",
                empty="no figures of GPUs",
            ),
            Query(f'z_image_turbo_gpu_throttled{{{OWN},reason!="power_cap"}}', f"{WHICH} {{{{reason}}}}"),
            Query(f'2 * z_image_turbo_gpu_throttled{{{OWN},reason="power_cap"}}', f"{WHICH} power_cap"),
            meaning={
                0: State("no", GREEN),
                1: State("slowed down", RED),
                2: State("at its limit of power", BLUE),
            },
        ),
        states(
            About(
                "Driver", "Whether the driver of the host answers.", empty="no figures of GPUs by nvidia-smi"
            ),
            Query(f"z_image_turbo_gpu_up{{{HOST}}}", "{{host}}"),
            meaning={0: State("does not answer", RED), 1: State("answers", GREEN)},
        ),
        lines(
            About(
                "Errors of the memory",
                "Since the driver was loaded: corrected ones do no harm but in masses, uncorrected ones do.",
                "none",
                empty="no GPU with ECC",
            ),
            Query(f"z_image_turbo_gpu_ecc_errors{{{OWN}}}", f"{WHICH} {{{{kind}}}}"),
            width=HALF,
        ),
        lines(
            About(
                "Errors that the driver reported (Xid)",
                "New ones within an hour. The runbook GpuXid says what the numbers mean.",
                "none",
                empty="no error",
            ),
            Query(f"increase(z_image_turbo_gpu_xid_errors_total{{{OWN}}}[1h])", f"{WHICH} Xid {{{{xid}}}}"),
            limits={1: RED},
            width=HALF,
        ),
    ]
    return board(
        "GPU",
        "Load, memory, heat, clocks and errors of every GPU.",
        {"What is there": found, "Use": use, "Trouble": trouble},
        [
            selection("host", "Host", "label_values(z_image_turbo_gpu_expected, host)"),
            selection("gpu", "GPU", 'label_values(z_image_turbo_gpu_info{host=~"$host"}, gpu)'),
        ],
    )
