"""What happens when the source of the model is damaged."""

import lab

testinfra_hosts = lab.hosts("model_store")[:1]
CURRENT = "/var/lib/z-image-turbo/models/z-image-turbo/current"
DAMAGED = "/var/tmp/damaged"


def converge_with_damaged_source(host, damage):
    host.check_output(f"rm -rf {DAMAGED} && cp -r /models/nano {DAMAGED} && cd {DAMAGED} && {damage}")
    return lab.play("molecule/model_store/converge.yml", "store1", model_store_source=DAMAGED)


def test_a_damaged_file_is_named_and_the_model_in_use_stays(host):
    before = host.file(CURRENT).linked_to
    play = converge_with_damaged_source(host, "echo >>SHA256SUMS && echo x >>model_index.json")
    assert play.rc != 0
    assert "model_index.json: FAILED" in play.output
    assert host.file(CURRENT).linked_to == before


def test_a_source_without_manifest_is_refused_with_the_command_that_makes_one(host):
    play = converge_with_damaged_source(host, "rm SHA256SUMS")
    assert play.rc != 0
    assert "sha256sum > SHA256SUMS" in play.output
