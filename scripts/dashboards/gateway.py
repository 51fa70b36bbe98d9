"""The dashboard *Gateway*: Nginx, whom it uses, what it had to repeat, address and certificate."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from scripts.dashboards.parts import (
    BLUE,
    FULL,
    GREEN,
    GREY,
    HALF,
    RED,
    YELLOW,
    About,
    Query,
    State,
    board,
    lines,
    lines_of_logs,
    number,
    selection,
    states,
)

HOST = 'host=~"$host"'
NAME = "z_image_turbo_gateway"
REQUESTS = f"{NAME}_requests_total{{{HOST}}}"
LEVELS = {
    "in": State("in service", GREEN),
    "no_new": State("nothing new", YELLOW),
    "moved": State("sessions moved", YELLOW),
    "out": State("out", RED),
}


def level() -> str:
    """Return an expression that has the place of an instance's level at each gateway, from 1 on."""
    return " + ".join(
        f'{index} * sum by (host, instance) (z_image_turbo_gateway_level{{{HOST},level="{name}"}})'
        for index, name in enumerate(LEVELS, 1)
    )


def gateway() -> models.Dashboard:
    """Return the dashboard."""
    answers = {0: State("does not answer", RED), 1: State("answers", GREEN)}
    now = [
        number(
            About("Gateways that answer", "Gateways whose Nginx answers.", "none"),
            Query(f"sum(nginx_up{{{HOST}}})", "answer"),
            limits={1: GREEN},
            base=RED,
        ),
        number(
            About(
                "Certificate",
                "Days until the certificate ends that clients get. Below 21 renewal has failed for a week.",
                "d",
                empty="served without TLS",
            ),
            Query(f"gateway:certificate_left:days{{{HOST}}}", "{{host}}"),
            limits={3: YELLOW, 21: GREEN},
            base=RED,
            decimals=0,
        ),
        number(
            About(
                "Lists of instances",
                "Different lists of instances among the gateways. More than one: a run did not reach all.",
                "none",
            ),
            Query("count(count by (source) (z_image_turbo_gateway_fleet_info))", "lists"),
            limits={2: RED},
        ),
        states(
            About("Probes", "Whether a request and a picture come through each gateway."),
            Query(f"probe_success{{{HOST}}}", "{{job}} {{instance}}"),
            meaning=answers,
        ),
        states(
            About(
                "Who has the virtual IP",
                "Which gateway holds the address. Two at once, or none, is an alert.",
                empty="no virtual IP",
            ),
            Query(f"gateway:virtual_ip_held:bool{{{HOST}}}", "{{address}} {{host}}"),
            meaning={0: State("no", GREY), 1: State("has it", BLUE)},
        ),
        states(
            About(
                "Whom the gateways use",
                "How each gateway uses each instance. The agent takes out those that are dead, hang or fail.",
            ),
            Query(level(), "{{host}}: {{instance}}"),
            meaning=dict(enumerate(LEVELS.values(), 1)),
        ),
        states(
            About(
                "The agent's list is in use",
                "Whether Nginx runs the list of instances that the agent decided on.",
            ),
            Query(f"z_image_turbo_gateway_applied{{{HOST}}}", "{{host}}"),
            meaning={0: State("no", RED), 1: State("yes", GREEN)},
        ),
    ]
    requests = [
        lines(
            About("Requests", "Requests by kind.", "reqps"),
            Query(f"sum by (route) (rate({REQUESTS}[$__rate_interval]))", "{{route}}"),
            stacked=True,
        ),
        lines(
            About("Answers", "What clients got, by status.", "reqps"),
            Query(f"sum by (status) (rate({REQUESTS}[$__rate_interval]))", "{{status}}"),
            stacked=True,
        ),
        lines(
            About("Time by kind", "95 % of the requests of each kind took no longer.", "s"),
            Query(
                "histogram_quantile(0.95, sum by (le, route) "
                f"(rate({NAME}_request_seconds_bucket{{{HOST}}}[$__rate_interval])))",
                "{{route}}",
            ),
        ),
        lines(
            About("Time by instance", "95 % of each instance's answers took no longer.", "s"),
            Query(
                "histogram_quantile(0.95, sum by (le, instance) "
                f"(rate({NAME}_upstream_seconds_bucket{{{HOST}}}[$__rate_interval])))",
                "{{instance}}",
            ),
        ),
        lines(
            About("Sent", "Bytes sent to clients, by kind.", "Bps"),
            Query(
                f"sum by (route) (rate({NAME}_response_bytes_total{{{HOST}}}[$__rate_interval]))",
                "{{route}}",
            ),
            stacked=True,
        ),
        lines(
            About(
                "Cache",
                "Answers from the cache (HIT) and those that had to be fetched.",
                "reqps",
                empty="nobody asked for what is cached",
            ),
            Query(
                f"sum by (cache) (rate({NAME}_cache_total{{{HOST}}}[$__rate_interval]))",
                "{{cache}}",
            ),
            stacked=True,
        ),
    ]
    trouble = [
        lines(
            About(
                "Repeated requests",
                "Requests that needed a second instance, by kind. Users saw nothing of it.",
                "reqps",
                empty="none",
            ),
            Query(
                f"sum by (route) (rate({NAME}_retried_requests_total{{{HOST}}}[$__rate_interval]))",
                "{{route}}",
            ),
        ),
        lines(
            About(
                "Lost tries",
                "First tries that had to be given to another instance, by whose they were.",
                "reqps",
                empty="none",
            ),
            Query(
                f"sum by (upstream, status) (rate({NAME}_lost_tries_total{{{HOST}}}[$__rate_interval]))",
                "{{upstream}} {{status}}",
            ),
        ),
        lines(
            About(
                "Served by nobody", "5xx that no instance answered: the gateway's own.", "reqps", empty="none"
            ),
            Query(
                f"sum by (route, status) (rate({NAME}_unserved_requests_total{{{HOST}}}[$__rate_interval]))",
                "{{route}} {{status}}",
            ),
            limits={0.01: RED},
        ),
    ]
    nginx = [
        lines(
            About(
                "Connections",
                "Connections of clients: all of them, and by what Nginx does with them.",
                "none",
            ),
            Query(f"nginx_connections_active{{{HOST}}}", "{{host}} active"),
            Query(f"nginx_connections_reading{{{HOST}}}", "{{host}} reading"),
            Query(f"nginx_connections_writing{{{HOST}}}", "{{host}} writing"),
            Query(f"nginx_connections_waiting{{{HOST}}}", "{{host}} idle"),
        ),
        lines(
            About(
                "Connections to instances",
                "Open connections from each gateway to each instance; long ones are streams and pictures.",
                "none",
            ),
            Query(f"z_image_turbo_gateway_connections{{{HOST}}}", "{{host}}: {{instance}}"),
        ),
        lines(
            About(
                "All requests by Nginx's count",
                "Those that are not logged included: health, metrics.",
                "reqps",
            ),
            Query(f"rate(nginx_http_requests_total{{{HOST}}}[$__rate_interval])", "{{host}}"),
        ),
        lines(
            About("CPU of the gateways", "Share of the host's cores in use.", "percentunit"),
            Query(
                '1 - avg by (host) (rate(node_cpu_seconds_total{group="gateways",mode="idle"}'
                "[$__rate_interval]))",
                "{{host}}",
            ),
            limits={0.9: YELLOW},
            width=HALF,
        ),
        lines(
            About("Requests by user", "The ten users with most requests.", "reqps"),
            Query(f"topk(10, sum by (principal) (rate({REQUESTS}[$__rate_interval])))", "user {{principal}}"),
            width=HALF,
        ),
    ]
    found = lines_of_logs(
        "Lines of the gateways",
        "The gateways' log of requests, with what is typed above in it: a status, a user, a request id.",
        '{tag="gateway"} |= "$text"',
        FULL,
    )
    text = builders.TextBoxVariable("text").label("Lines with").default_value("")
    return board(
        "Gateway",
        "Nginx, whom it uses, what it had to repeat, address and certificate.",
        {"Now": now, "Requests": requests, "Trouble": trouble, "Nginx": nginx, "Logs": [found]},
        [selection("host", "Gateway", "label_values(nginx_up, host)"), text],
        with_logs=True,
    )
