"""The rules of the role `monitoring`, their cases in `rules/*.yml`, and promtool, which runs these.

A case has the rule it is about, `series` by name in promtool's notation, the time to look `at`, and what
is to be seen then: `fires` (alerts, with labels and the summary that they say), `gives` (samples of a
recording rule), or neither: silence. What every alert has alike, such as the address of its page, is filled
in here.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "roles" / "monitoring" / "files" / "rules"
CASES = Path(__file__).parent / "rules"
RUNBOOKS = "https://github.com/z-image-turbo-ha/z-image-turbo-ha/blob/main/docs/runbooks/"
UNPACKED = ROOT / ".cache" / "debian" / "usr" / "bin"

Rule = dict[str, Any]
Case = dict[str, Any]

FLIPPED = {
    " > ": " < ",
    " < ": " > ",
    " >= ": " < ",
    " <= ": " > ",
    " == ": " != ",
    " != ": " == ",
    " and ": " or ",
    " unless ": " and ",
    " or ": " and ",
    " / ": " * ",
    " * ": " / ",
    " - ": " + ",
}


def program(name: str) -> str:
    """Return the path of one of Prometheus' programs: the installed one, or that of scripts/bootstrap."""
    found = shutil.which(name, path=UNPACKED) or shutil.which(name)
    assert found, f"there is no {name}: run scripts/bootstrap test"
    return found


@cache
def read(path: Path) -> Any:
    """Return what a file of YAML holds."""
    return yaml.load(path.read_text(), yaml.CSafeLoader)


def name_of(rule: Rule) -> str:
    """Return what a rule is called."""
    return str(rule.get("alert") or rule["record"])


def all_rules() -> list[tuple[Path, Rule]]:
    """Return every rule with its file."""
    return [
        (path, rule)
        for path in sorted(RULES.glob("*.yml"))
        for group in read(path)["groups"]
        for rule in group["rules"]
    ]


def cases_of(path: Path, name: str) -> list[Case]:
    """Return the cases of a rule, which are in the file of the same name as the rule's."""
    return [case for case in read(CASES / path.name) if case["rule"] == name]


def looks_for_something(case: Case) -> bool:
    """Tell whether a case wants the rule to do something, rather than nothing."""
    return bool(case.get("fires") or case.get("gives"))


def promtool_test(case: Case) -> dict[str, Any]:
    """Return a case as promtool wants it."""
    test: dict[str, Any] = {
        "interval": case.get("every", "1m"),
        "input_series": [{"series": name, "values": values} for name, values in case["series"].items()],
    }
    name = case["rule"]
    if name[0].islower():  # what is recorded; alerts begin with a capital
        samples = [
            {"labels": labels.removeprefix(name) or "{}", "value": value}
            for labels, value in case.get("gives", {}).items()
        ]
        rounded = f"round({name}, 0.0001)"
        test["promql_expr_test"] = [{"expr": rounded, "eval_time": case["at"], "exp_samples": samples}]
        return test
    page = f"{RUNBOOKS}{name}.md"
    alerts = [
        {
            "exp_labels": alert["labels"],
            "exp_annotations": {"summary": alert["says"], "runbook_url": page},
        }
        for alert in case.get("fires", [])
    ]
    test["alert_rule_test"] = [{"alertname": name, "eval_time": case["at"], "exp_alerts": alerts}]
    return test


def run(rule: Rule, cases: list[Case], folder: Path) -> subprocess.CompletedProcess[str]:
    """Have promtool run the cases of a rule, with this version of it and the recorded figures that it needs.

    The rules are looked at as often as the series have values: rules of days would take minutes.
    """
    assert cases, f"{name_of(rule)} has no case"
    rules = [rule if _same(there, rule) else there for _, there in all_rules()]
    needed = _needed(rule, rules)
    kept = [there for there in rules if name_of(there) in needed]
    group = {"name": "rules", "rules": kept}
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
    for every in {case.get("every", "1m") for case in cases}:
        document = {
            "rule_files": [str(folder / "rules.yml")],
            "evaluation_interval": every,
            "tests": [promtool_test(case) for case in cases if case.get("every", "1m") == every],
        }
        (folder / "cases.yml").write_text(yaml.safe_dump(document))
        done = subprocess.run(
            [program("promtool"), "test", "rules", folder / "cases.yml"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            break
    return done


def _same(one: Rule, other: Rule) -> bool:
    return name_of(one) == name_of(other) and one.get("labels") == other.get("labels")


def _needed(rule: Rule, rules: list[Rule]) -> set[str]:
    """Return the names of the rules that a rule depends on, itself included."""
    found, ahead = set(), {name_of(rule)}
    while ahead:
        found |= ahead
        expressions = " ".join(there["expr"] for there in rules if name_of(there) in found)
        ahead = {there["record"] for there in rules if "record" in there and there["record"] in expressions}
        ahead -= found
    return found


def broken(rule: Rule) -> Iterator[Rule]:
    """Return the rule with one thing wrong, for every operator in it and for its patience."""
    expression = rule["expr"]
    for found in re.finditer(r" (?:[<>=!]=?|and|or|unless|[*/-]) ", expression):
        nothing = re.search(r"(?<![\d.])0$", expression[: found.start()])  # times or divided by: the same
        if found.group() in FLIPPED and not (nothing and found.group() == " * "):
            worse = expression[: found.start()] + FLIPPED[found.group()] + expression[found.end() :]
            yield rule | {"expr": worse}
    yield rule | {"expr": f"({expression}) < -12345"}
    if "record" in rule:
        yield rule | {"expr": f"({expression}) * 0 + 12345"}
    if "for" in rule:
        yield {key: value for key, value in rule.items() if key != "for"}
