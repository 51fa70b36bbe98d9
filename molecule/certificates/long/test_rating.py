"""The grade of the TLS. It takes minutes, and the scenario itself checks what makes it."""

import json

import lab
import testinfra

CA = testinfra.get_host(lab.hosts("acme")[0])
FINDINGS = "/tmp/rated.json"


def test_the_tls_is_rated_a_or_better():
    play = lab.play("molecule/certificates/long/testssl.yml", "acme")
    assert play.rc == 0, play.output
    CA.run_expect([0], f"curl -sfk https://127.0.0.1:15000/roots/0 >/tmp/root.pem && rm -f {FINDINGS}")
    CA.run(
        f"testssl --quiet --warnings batch --jsonfile {FINDINGS} --add-ca /tmp/root.pem"
        f" --ip {lab.address('cert1')} pictures.test:443"
    )
    rated = json.loads(CA.file(FINDINGS).content_string)
    reasons = [finding["finding"] for finding in rated if finding["id"].startswith("grade_cap_reason")]
    grades = [finding["finding"] for finding in rated if finding["id"] == "overall_grade"]
    assert grades, rated[-5:]
    assert set(grades) <= {"A", "A+"}, reasons
