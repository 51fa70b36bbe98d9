"""TLS at a pair of gateways: issued by a CA, renewed until clients get it, and never worse than before."""

import json
import ssl
from http.client import HTTPConnection, HTTPSConnection

import lab
import pytest
import testinfra

CONVERGE = "molecule/certificates/converge.yml"
GATEWAYS = lab.names("certificates")
HOSTS = dict(zip(GATEWAYS, map(testinfra.get_host, lab.hosts("certificates")), strict=True))
CA = testinfra.get_host(lab.hosts("acme")[0])
NAME = "pictures.test"
FIGURES = "/var/lib/prometheus/node-exporter/z_image_turbo_certificate.prom"


def untrusting():
    """Return a client's settings that take any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def served(gateway):
    """Return the certificate that clients get, as PEM."""
    return ssl.get_server_certificate((lab.address(gateway), 443))


def ask(gateway, path="/", *, tls=True):
    """Return the answer of a gateway, with its body."""
    address = lab.address(gateway)
    connection = HTTPSConnection(address, context=untrusting()) if tls else HTTPConnection(address)
    connection.request("GET", path, headers={"Host": NAME})
    answer = connection.getresponse()
    answer.body = answer.read()
    connection.close()
    return answer


def names_lead_to(gateway):
    """Have the CA find a gateway at the names of the service."""
    where = json.dumps({"ip": lab.address(gateway)})
    CA.run_expect([0], f"curl -sf --data '{where}' http://127.0.0.1:8055/set-default-ipv4")


def renew(gateway):
    """Renew as the timer does; a certificate of the lab holds for 14 days, so it is always due."""
    HOSTS[gateway].run_expect([0], "systemctl start certbot.service")


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("name", [NAME, f"www.{NAME}"])
def test_clients_that_trust_the_ca_trust_the_service(gateway, name):
    roots = "".join(
        CA.check_output(f"curl -sfk https://127.0.0.1:15000/{kind}/0") + "\n"
        for kind in ("roots", "intermediates")
    )
    address = lab.address(gateway)
    HOSTS[gateway].run_expect([0], f"cat >/tmp/roots.pem <<'END'\n{roots}END")
    done = HOSTS[gateway].run(
        f"curl -sf --cacert /tmp/roots.pem --resolve {name}:443:{address} https://{name}/healthz"
    )
    assert done.stdout == "ok\n", done.stderr


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_without_tls_there_is_only_the_way_there(gateway):
    answer = ask(gateway, "/v1/images/generations?x=1", tls=False)
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://{NAME}/v1/images/generations?x=1"
    assert answer.headers["Strict-Transport-Security"] is None
    assert ask(gateway, "/healthz", tls=False).body == b"ok\n"


def test_over_tls_the_instances_know_it_and_browsers_keep_to_it():
    answer = ask("cert1")
    told = dict(json.loads(answer.body)["headers"])
    assert told["X-Forwarded-Proto"] == "https"
    assert answer.headers.get_all("Strict-Transport-Security") == ["max-age=63072000"]
    assert HOSTS["cert1"].check_output("curl -sko /dev/null -w '%{http_version}' https://127.0.0.1/") == "2"


def test_the_key_is_readable_by_root_alone():
    for host in HOSTS.values():
        key = host.check_output("readlink -f /etc/z-image-turbo/tls/current/privkey.pem")
        assert (host.file(key).user, host.file(key).mode) == ("root", 0o600)


def test_all_gateways_share_one_account():
    accounts = [host.check_output("ls /etc/letsencrypt/accounts/acme1:14000/dir") for host in HOSTS.values()]
    assert len(set(accounts)) == 1
    assert len(accounts[0].split()) == 1


def test_a_gateway_without_an_account_takes_that_of_the_first_one():
    HOSTS["cert2"].run_expect([0], "rm -r /etc/letsencrypt/accounts")
    play = lab.play(CONVERGE, "cert2,acme1", tags="certificates_issue")
    assert play.rc == 0, play.output
    test_all_gateways_share_one_account()


@pytest.mark.parametrize("found", GATEWAYS)
@pytest.mark.parametrize("renewing", GATEWAYS)
def test_any_gateway_renews_whichever_the_names_lead_to(found, renewing):
    before = served(renewing)
    names_lead_to(found)
    renew(renewing)
    assert served(renewing) != before


def test_a_renewal_that_does_not_reach_the_clients_is_seen_and_put_right():
    host, before = HOSTS["cert1"], served("cert1")
    names_lead_to("cert1")
    hook = "/etc/letsencrypt/renewal-hooks/deploy/z-image-turbo"
    kept = host.check_output(f"cat {hook}")
    host.run_expect([0], f"printf '#!/bin/sh\\nexit 1\\n' >{hook}")
    try:
        renew("cert1")
    finally:
        host.run_expect([0], f"cat >{hook} <<'END'\n{kept}\nEND")
    assert served("cert1") == before
    host.run_expect([0], "systemctl start z-image-turbo-certificate.service")
    assert served("cert1") != before


def test_what_cannot_be_put_right_fails_loudly_and_leaves_the_old_one_serving():
    host, before = HOSTS["cert1"], served("cert1")
    key = "/etc/letsencrypt/live/z-image-turbo/privkey.pem"
    target = host.check_output(f"readlink -f {key}")
    host.run_expect(
        [0], f"cp {target} /root/kept && openssl ecparam -name prime256v1 -genkey -noout -out {target}"
    )
    try:
        assert host.run("systemctl start z-image-turbo-certificate.service").rc != 0
        assert "z_image_turbo_certificate_healthy 0" in host.file(FIGURES).content_string
        log = host.check_output("journalctl --unit z-image-turbo-certificate --lines 20")
        assert "the key does not belong to the certificate" in log
        assert served("cert1") == before
    finally:
        host.run_expect([0], f"mv /root/kept {target} && systemctl start z-image-turbo-certificate.service")
    assert "z_image_turbo_certificate_healthy 1" in host.file(FIGURES).content_string


def test_it_is_renewed_and_looked_after_by_timers():
    for host in HOSTS.values():
        for timer in ("certbot.timer", "z-image-turbo-certificate.timer"):
            assert host.service(timer).is_enabled
            assert host.service(timer).is_running


def test_a_failed_issue_says_why_and_leaves_the_old_certificate_serving():
    before = served("cert2")
    play = lab.play(
        CONVERGE, "cert2,acme1", tags="certificates_issue", certificates_acme_url="https://acme1:14001/dir"
    )
    assert play.rc != 0
    assert "Connection refused" in play.output
    assert served("cert2") == before


def handshake(options):
    """Return what a client says of its handshake: OpenSSL with some options, which itself refuses nothing."""
    return CA.run(
        f"openssl s_client -connect {lab.address('cert1')}:443 -servername {NAME}"
        f" -cipher ALL:@SECLEVEL=0 {options} </dev/null 2>&1"
    ).stdout


@pytest.mark.parametrize(
    "options", ["-tls1_2", "-tls1_3", "-groups X25519", "-groups P-256", "-groups P-384"]
)
def test_clients_of_today_get_in(options):
    said = handshake(options)
    assert "Verify return code" in said
    assert "Cipher is (NONE)" not in said


@pytest.mark.parametrize(
    ("options", "alert"),
    [
        ("-tls1", "protocol version"),
        ("-tls1_1", "protocol version"),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0", "handshake failure"),
        (
            "-tls1_2 -cipher ECDHE-ECDSA-AES256-CCM8:DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0",
            "handshake failure",
        ),
        ("-groups P-521", "handshake failure"),
    ],
)
def test_what_is_known_to_be_weak_or_is_not_needed_is_refused(options, alert):
    assert f"alert {alert}" in handshake(options)


def test_no_key_of_session_tickets_gives_recorded_sessions_away():
    assert "TLS session ticket" not in handshake("-tls1_2")
