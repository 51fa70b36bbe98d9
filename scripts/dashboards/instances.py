"""The dashboard *Instances*: each one's state, queue, speed and restarts, and its host."""

from grafana_foundation_sdk.models import dashboard as models

from scripts.dashboards.parts import (
    BLUE,
    FULL,
    GREEN,
    GREY,
    HALF,
    QUARTER,
    RED,
    YELLOW,
    About,
    Query,
    State,
    board,
    lines,
    rows,
    selection,
    states,
)

OWN = 'instance=~"$instance",host=~"$host"'
HOST = 'host=~"$host"'
DISKS = f'{HOST},fstype!~"tmpfs|ramfs|squashfs|iso9660"'

STATES = {
    "loading": State("loading", BLUE),
    "ready": State("ready", GREEN),
    "paused": State("paused", GREY),
    "draining": State("draining", YELLOW),
    "failed": State("failed", RED),
}
HEALTH = {
    "ready": State("ready", GREEN),
    "busy": State("busy", GREEN),
    "loading": State("loading", BLUE),
    "draining": State("draining", YELLOW),
    "stuck": State("stuck", RED),
    "dead": State("dead", RED),
    "gpu_lost": State("GPU lost", RED),
}


def one_of(metric: str, names: dict[str, State]) -> str:
    """Return an expression that has the place of the state of an instance, from 1 on."""
    parts = [
        f'{index} * sum by (instance) ({metric}{{{OWN},state="{name}"}})'
        for index, name in enumerate(names, 1)
    ]
    return " + ".join(parts)


def placed(names: dict[str, State]) -> dict[int, State]:
    """Return what the places of `one_of` stand for."""
    return dict(enumerate(names.values(), 1))


def instances() -> models.Dashboard:
    """Return the dashboard."""
    condition = [
        states(
            About("State", "What each instance says of itself."),
            Query(one_of("zimage_state", STATES), "{{instance}}"),
            meaning=placed(STATES),
        ),
        states(
            About(
                "State by the health check",
                "What the health check of the host made of it. Red ones are restarted, in turn.",
                empty="no health check on these hosts",
            ),
            Query(one_of("z_image_turbo_health_state", HEALTH), "{{instance}}"),
            meaning=placed(HEALTH),
        ),
        lines(
            About(
                "Starts in an hour",
                "How often each instance was started within the last hour. One is a deployment.",
                "none",
            ),
            Query(f'changes(process_start_time_seconds{{job="z_image_turbo",{OWN}}}[1h])', "{{instance}}"),
            limits={3: RED},
            width=QUARTER,
        ),
        lines(
            About(
                "Restarts by reason",
                "Restarts within an hour by the health check, and by Supervisor (exited), by reason.",
                "none",
                empty="no restart, or no health check on these hosts",
            ),
            Query(
                f"increase(z_image_turbo_health_restarts_total{{{OWN}}}[1h]) > 0", "{{instance}} {{reason}}"
            ),
            width=QUARTER,
        ),
        lines(
            About(
                "Restarts left",
                "Restarts that the health check may still make. At 0 it leaves the instance alone.",
                "none",
                empty="no health check on these hosts",
            ),
            Query(f"z_image_turbo_health_restart_budget_left{{{OWN}}}", "{{instance}}"),
            width=QUARTER,
        ),
        lines(
            About(
                "Test pictures",
                "Whether the picture of the health check's deep check was one: 1 is yes.",
                "none",
                empty="no deep check yet",
            ),
            Query(f"z_image_turbo_health_deep_check_success{{{OWN}}}", "{{instance}}"),
            width=QUARTER,
        ),
        rows(
            About(
                "Releases and models",
                "Which release and model each instance runs. More than one of either: a deployment.",
            ),
            Query(f"zimage_instance_info{{{OWN}}}"),
            width=FULL,
        ),
    ]
    work = [
        lines(
            About("Queue", "Jobs that wait in each instance.", "none"),
            Query(f"zimage_queue_depth{{{OWN}}}", "{{instance}}"),
            Query(f"max(zimage_queue_limit{{{OWN}}})", "limit"),
        ),
        lines(
            About(
                "Queue in seconds", "Estimated time until each instance has drawn all that it accepted.", "s"
            ),
            Query(f"zimage_queue_seconds{{{OWN}}}", "{{instance}}"),
            limits={10: YELLOW, 60: RED},
        ),
        lines(
            About("Jobs", "Jobs that ended, by outcome.", "ops"),
            Query(
                f"sum by (instance, outcome) (instance:jobs_ended:rate5m{{{OWN}}})",
                "{{instance}} {{outcome}}",
            ),
        ),
        lines(
            About("Steps a second", "Steps of batches that each instance made.", "ops"),
            Query(
                f"sum by (instance) (rate(zimage_step_seconds_count{{{OWN}}}[$__rate_interval]))",
                "{{instance}}",
            ),
        ),
        lines(
            About(
                "Time of a step",
                "Mean time of one step of a batch. It grows with size and number of pictures; one far above "
                "the others of its GPU model is a slow one.",
                "s",
                empty="no picture was drawn",
            ),
            Query(f"instance:step_seconds:mean5m{{{OWN}}}", "{{instance}}"),
        ),
        lines(
            About(
                "Pictures of a batch",
                "How many pictures were drawn at once, on average.",
                "none",
                empty="no picture was drawn",
            ),
            Query(
                f"sum by (instance) (rate(zimage_batch_images_sum{{{OWN}}}[$__rate_interval]))"
                f" / sum by (instance) (rate(zimage_batch_images_count{{{OWN}}}[$__rate_interval]))",
                "{{instance}}",
            ),
        ),
        lines(
            About(
                "Known prompts",
                "Share of prompts that had been read before, so that the text encoder had nothing to do.",
                "percentunit",
                empty="no picture was drawn",
            ),
            Query(
                f"sum by (instance) (rate(zimage_text_cache_hits_total{{{OWN}}}[$__rate_interval]))"
                f" / (sum by (instance) (rate(zimage_text_cache_hits_total{{{OWN}}}[$__rate_interval]))"
                f" + sum by (instance) (rate(zimage_text_cache_misses_total{{{OWN}}}[$__rate_interval])))",
                "{{instance}}",
            ),
        ),
        lines(
            About(
                "Memory",
                "Memory of each instance's process on its host. A line that only ever rises is a leak.",
                "bytes",
            ),
            Query(f'process_resident_memory_bytes{{job="z_image_turbo",{OWN}}}', "{{instance}}"),
        ),
        lines(
            About("CPU", "Cores that each instance's process uses.", "none"),
            Query(
                f'rate(process_cpu_seconds_total{{job="z_image_turbo",{OWN}}}[$__rate_interval])',
                "{{instance}}",
            ),
        ),
    ]
    hosts = [
        lines(
            About("CPU of the host", "Share of the host's cores in use.", "percentunit"),
            Query(
                f'1 - avg by (host) (rate(node_cpu_seconds_total{{{HOST},mode="idle"}}[$__rate_interval]))',
                "{{host}}",
            ),
            limits={0.9: YELLOW},
        ),
        lines(
            About(
                "Memory of the host", "Share of the host's memory that programs may still get.", "percentunit"
            ),
            Query(f"node_memory_MemAvailable_bytes{{{HOST}}} / node_memory_MemTotal_bytes", "{{host}}"),
        ),
        lines(
            About("Disk", "Free share of each file system. Below 10 % is an alert.", "percentunit"),
            Query(
                f"node_filesystem_avail_bytes{{{DISKS}}} / node_filesystem_size_bytes",
                "{{host}} {{mountpoint}}",
            ),
        ),
        lines(
            About(
                "Programs under Supervisor",
                "State by Supervisor: 20 runs, 10 starts, 30 tries again, 100 and 200 were given up.",
                "none",
                empty="no Supervisor on these hosts",
            ),
            Query(f"node_supervisord_state{{{HOST}}}", "{{host}} {{name}}"),
            limits={100: RED},
            width=HALF,
        ),
        lines(
            About("Clock", "How far each host's clock is from that of the monitoring host.", "s"),
            Query(f"abs(node_time_seconds{{{HOST}}} - timestamp(node_time_seconds{{{HOST}}}))", "{{host}}"),
            limits={1: RED},
            width=HALF,
        ),
    ]
    return board(
        "Instances",
        "State, queue, speed and restarts of each instance, and its host.",
        {"State": condition, "Work": work, "Hosts": hosts},
        [
            selection("host", "Host", "label_values(node_time_seconds, host)"),
            selection(
                "instance", "Instance", 'label_values(up{job="z_image_turbo",host=~"$host"}, instance)'
            ),
        ],
    )
