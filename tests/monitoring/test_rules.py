"""The rules: each does what it is for, and only then; each alert leads to a page that helps."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.monitoring.rule_cases import (
    RULES,
    RUNBOOKS,
    Rule,
    all_rules,
    broken,
    cases_of,
    looks_for_something,
    name_of,
    program,
    run,
)

PAGES = Path(__file__).parents[2] / "docs" / "runbooks"
FILES = sorted(RULES.glob("*.yml"))
EVERY_RULE = [
    pytest.param(path, rule, id=f"{name_of(rule)}-{rule.get('labels', {}).get('severity', '')}".strip("-"))
    for path, rule in all_rules()
]
ALERTS = sorted({name_of(rule) for _, rule in all_rules() if "alert" in rule})
SECTIONS = ["What it means", "What users notice", "First command", "Cure", "How to prove that it is over"]


def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run(
        [program("promtool"), "check", "rules", *FILES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("path", "rule"), EVERY_RULE)
def test_every_rule_does_what_its_cases_say(path: Path, rule: Rule, tmp_path: Path) -> None:
    done = run(rule, cases_of(path, name_of(rule)), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("path", "rule"), EVERY_RULE)
def test_every_rule_has_a_case_for_what_it_does_and_one_for_silence(path: Path, rule: Rule) -> None:
    cases = cases_of(path, name_of(rule))
    assert any(looks_for_something(case) for case in cases)
    assert any(not looks_for_something(case) for case in cases) or "vector(" in rule["expr"]


@pytest.mark.parametrize(("path", "rule"), EVERY_RULE)
def test_a_broken_rule_is_noticed(path: Path, rule: Rule, tmp_path: Path) -> None:
    cases = cases_of(path, name_of(rule))
    for worse in broken(rule):
        assert run(worse, cases, tmp_path).returncode != 0, f"no case notices {worse}"


@pytest.mark.parametrize(
    "rule", [pytest.param(rule, id=name_of(rule)) for _, rule in all_rules() if "alert" in rule]
)
def test_every_alert_has_a_severity_and_says_where_what_and_what_to_do(rule: Rule) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "none"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}{rule['alert']}.md"


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_page_that_tells_what_to_do(alert: str) -> None:
    text = (PAGES / f"{alert}.md").read_text()
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    first = text.partition("## First command")[2].partition("##")[0]
    assert "```console" in first


def test_every_page_is_of_an_alert_and_in_the_index() -> None:
    index = (PAGES / "README.md").read_text()
    linked = re.findall(r"^\| \[([A-Za-z]+)\]\(\1\.md\)", index, re.MULTILINE)
    assert sorted(linked) == ALERTS
    assert sorted(page.stem for page in PAGES.glob("*.md") if page.stem != "README") == ALERTS


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]+)(?:#([^)]+))?\)", page.read_text()):
        there = (page.parent / target).resolve()
        assert there.is_file(), f"there is no {target}"
        headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
        anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in anchors, f"{target} has no heading {anchor}"
