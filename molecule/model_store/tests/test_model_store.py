"""The promises of the role model_store, wherever the model comes from."""

import lab

testinfra_hosts = lab.hosts("model_store")
MODEL = "/var/lib/z-image-turbo/models/z-image-turbo"


def test_every_file_of_the_model_is_there_and_verified(host):
    assert host.run(f"cd {MODEL}/current && sha256sum --check --strict SHA256SUMS").rc == 0
    assert host.file(f"{MODEL}/current/model_index.json").exists


def test_the_application_can_read_it_and_not_change_it(host):
    assert host.run(f"su nobody -s /bin/sh -c 'cat {MODEL}/current/model_index.json'").rc == 0
    assert host.run(f"find {MODEL}/ -perm /022 -not -type l | head").stdout == ""
