"""The sources of the dashboards: `python -m scripts.dashboards` makes Grafana's JSON from them."""
