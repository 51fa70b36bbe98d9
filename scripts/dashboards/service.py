"""The dashboard *Service*: what users get, held against the objectives."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from scripts.dashboards.parts import (
    FULL,
    GREEN,
    HALF,
    RED,
    YELLOW,
    About,
    Query,
    board,
    lines,
    lines_of_logs,
    number,
    rows,
)

PICTURES = 'route=~"openai_images|sdapi_images|pool"'
REQUESTS = "z_image_turbo_gateway_requests_total"
SECONDS = f'z_image_turbo_gateway_request_seconds_bucket{{{PICTURES},class="2xx"}}'
WAIT = "zimage_job_wait_seconds_bucket"
QUANTILES = (0.5, 0.95, 0.99)


def quantiles(bucket: str, by: str = "le") -> list[Query]:
    """Return the median and two high percentiles of a histogram."""
    return [
        Query(
            f"histogram_quantile({share}, sum by ({by}) (rate({bucket}[$__rate_interval])))", f"{share:.0%}"
        )
        for share in QUANTILES
    ]


def service() -> models.Dashboard:
    """Return the dashboard."""
    good = "1 - sum_over_time(objective:bad:rate5m[1d]) / sum_over_time(objective:events:rate5m[1d])"
    now = [
        number(
            About("Instances ready", "Instances that take pictures now, of those in the inventory.", "none"),
            Query("service:instances_ready:sum", "ready"),
            Query("service:instances_configured:count", "in the inventory"),
            limits={1: GREEN},
            base=RED,
        ),
        number(
            About(
                "Good events in a day",
                "Share of good events in the last day, by objective. docs/objectives.md says what they are.",
                "percentunit",
                empty="nobody came",
            ),
            Query(good, "{{objective}}"),
            limits={0.95: YELLOW, 0.995: GREEN},
            base=RED,
            decimals=2,
        ),
        number(
            About(
                "Queue",
                "How full the queues of all instances together are. Above 80 % requests are refused soon.",
                "percentunit",
            ),
            Query("service:queue_use:ratio", "used"),
            limits={0.5: YELLOW, 0.8: RED},
        ),
        rows(
            About("Alerts", "What fires now. Watchdog always does; its absence would be the alert."),
            Query('ALERTS{alertstate="firing"}'),
            width=FULL,
        ),
    ]
    objectives = [
        lines(
            About(
                "Burn rate in an hour",
                "How fast the budget of bad events is used up: 1 is all of it in a month, 14.4 wakes one.",
                "none",
                empty="nobody came",
            ),
            Query("objective:burn_rate:1h", "{{objective}}"),
            limits={1: YELLOW, 14.4: RED},
        ),
        lines(
            About(
                "Bad requests",
                "Share of requests that ended with 5xx at the gateways.",
                "percentunit",
                empty="nobody came",
            ),
            Query(
                'objective:bad:rate5m{objective=~".*_availability"} / objective:events:rate5m',
                "{{objective}}",
            ),
            limits={0.005: YELLOW, 0.072: RED},
        ),
        lines(
            About(
                "Time of a picture",
                "From request to answer, the page's jobs included. Objective: 95 % in 20 s.",
                "s",
                empty="no picture was asked for",
            ),
            *quantiles(SECONDS),
            limits={20: RED},
        ),
        lines(
            About(
                "Waiting time", "Time of a job in the queue of its instance. Objective: 95 % in 10 s.", "s"
            ),
            *quantiles(WAIT),
            limits={10: RED},
        ),
        lines(
            About("Answers", "What clients got, by status. 4xx is theirs, 5xx is ours.", "reqps"),
            Query(f"sum by (status) (rate({REQUESTS}[$__rate_interval]))", "{{status}}"),
            stacked=True,
        ),
        lines(
            About(
                "Refused and failed jobs",
                "Jobs that an instance turned away (queue full, loading) or could not draw, by reason.",
                "ops",
                empty="none was refused or failed",
            ),
            Query(
                "sum by (reason) (rate(zimage_jobs_refused_total[$__rate_interval]))", "refused: {{reason}}"
            ),
            Query("sum by (cause) (rate(zimage_jobs_failed_total[$__rate_interval]))", "failed: {{cause}}"),
        ),
    ]
    work = [
        lines(
            About("Requests", "Requests at the gateways, by kind.", "reqps"),
            Query(f"sum by (route) (rate({REQUESTS}[$__rate_interval]))", "{{route}}"),
            stacked=True,
        ),
        lines(
            About(
                "Pictures a minute", "Pictures handed over, by the door that they were asked for at.", "none"
            ),
            Query("sum by (way) (rate(zimage_images_total[$__rate_interval])) * 60", "{{way}}"),
            stacked=True,
        ),
        lines(
            About(
                "Who is served where",
                "Requests for pictures by the instance that answered. Uneven: weights, or a slow instance.",
                "reqps",
            ),
            Query(
                "sum by (instance) (rate("
                f"z_image_turbo_gateway_upstream_requests_total{{{PICTURES}}}[$__rate_interval]))",
                "{{instance}}",
            ),
            stacked=True,
        ),
        lines(
            About(
                "Requests by user",
                "Requests at the gateways, by the user that they were made for; the ten with most of them.",
                "reqps",
            ),
            Query(f"topk(10, sum by (principal) (rate({REQUESTS}[$__rate_interval])))", "user {{principal}}"),
            width=HALF,
        ),
        lines(
            About(
                "Probes",
                "Time of the test requests that the monitoring host makes through each gateway.",
                "s",
            ),
            Query("probe_duration_seconds", "{{job}} {{instance}}"),
            width=HALF,
        ),
    ]
    trail = lines_of_logs(
        "One request",
        "All lines with the request id above: whose it was, who drew it, what became of it.",
        '{tag=~"gateway|instance"} |= "$request_id"',
    )
    request = builders.TextBoxVariable("request_id").label("Request id").default_value("")
    return board(
        "Service",
        "What users get, held against the objectives.",
        {"Now": now, "Objectives": objectives, "Work": work, "Logs": [trail]},
        [request],
        with_logs=True,
    )
