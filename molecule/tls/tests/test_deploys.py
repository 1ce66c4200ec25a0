# SPDX-License-Identifier: Apache-2.0
"""Releases of an app whose host name has TLS: its first certificate comes with its first deploy, and no deploy drops a request."""

from __future__ import annotations

import re
import subprocess
import time

import pytest
from conftest import SHOP, Edge, World, scenario_wait, without_ca

from tests.support import scenario
from tests.support.load import Ask, Load

NAME = "front.example.test"
DEPLOYS = 20
BUILD = r"""set -e
command -v docker-registry >/dev/null || {
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-registry >/dev/null
}
cat > /etc/docker/registry/config.yml <<'END'
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/docker-registry}}
http: {addr: "127.0.0.1:5000"}
END
systemctl restart docker-registry
until curl -sf -o /dev/null http://127.0.0.1:5000/v2/; do sleep 0.2; done
for version in v1 v2; do
  rm -rf /root/front && mkdir /root/front && cd /root/front
  printf 'server { listen 8080; default_type application/json; location / { return 200 "{\\"version\\": \\"%s\\"}"; } }\n' $version > front.conf
  printf 'FROM IMAGE\nCOPY front.conf /etc/nginx/conf.d/default.conf\n' > Dockerfile
  DOCKER_BUILDKIT=0 docker build -q -t localhost:5000/front:$version . && docker push -q localhost:5000/front:$version
done
"""


def playbook(name: str, *words: str) -> tuple[int, str]:
    """The exit code and output of a playbook, run for the second app."""
    extra = ("-e", "@molecule/tls/files/front.yml")
    # Its host names are the inventory's only to the first app.
    done = scenario.ansible("ansible-playbook", name, *extra, *words)
    return done.returncode, done.stdout + done.stderr


def deploy(version: str) -> None:
    code, output = playbook("deploy.yml", "-e", f"app_version={version}")
    assert code == 0, output[-3000:]


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    """Two versions of an app, in a registry that its host reaches."""
    host = scenario.Host("app1")
    image = subprocess.run(
        [scenario.REPOSITORY / "scripts/lab-image", "nginx"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if host.run(f"docker image inspect {image}").returncode:
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(
                ["docker", "exec", "-i", host.container, "docker", "load"],
                stdin=saved.stdout,
                check=True,
                capture_output=True,
            )
    host.must(BUILD.replace("IMAGE", image))


def test_the_first_certificate_comes_with_the_first_deploy(edge1: Edge, edge2: Edge) -> None:
    deploy("v1")  # it is verified over TLS, before there is a certificate
    for edge in (edge1, edge2):
        scenario_wait(lambda edge=edge: "Pebble" in edge.issuer(NAME))
    assert edge1.shown(NAME) == edge2.shown(NAME)


def test_deploys_over_tls_drop_no_request(edge1: Edge, world: World) -> None:
    world.must("rm -f /root/stop")
    http2 = subprocess.Popen(
        ["docker", "exec", world.container, "python3", "/opt/http2.py", edge1.address, NAME, "/root/stop"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with Load(
        f"https://{edge1.address}", Ask("GET", "/"), Ask("POST", "/", b"{}"), name=NAME, seconds=900, rate=100
    ) as load:
        time.sleep(2)
        reloads = edge1.must("pgrep -f 'nginx: worker process$' | sort")
        for number in range(DEPLOYS):
            deploy(("v2", "v1")[number % 2])
        assert edge1.must("pgrep -f 'nginx: worker process$' | sort") == reloads, "a flip reloads nothing"
    world.must("touch /root/stop")
    count, *failures = http2.communicate(timeout=60)[0].split("\n", 1)
    print(f"HTTP/1.1: {load.report}\nHTTP/2: {count} requests")
    assert load.report.failed == 0 and set(load.report.versions) == {"v1", "v2"}, load.report
    assert int(count) > 1000 and failures == [""], failures


def test_the_status_shows_certificates_and_fails_with_the_reason(edge1: Edge, edge2: Edge) -> None:
    edge1.renew()
    edge2.renew()
    code, output = playbook("status.yml")
    assert code == 0 and re.search(rf"edge1 +TLS +{NAME} +90 days left, by Pebble", output), output
    edge1.must(
        f"cd /root && openssl pkey -in /var/lib/sluice-tls/{SHOP}/live.pem -out own.key && openssl x509 -in /var/lib/sluice-tls/{SHOP}/live.pem -out chain.pem"
    )
    edge1.certificates("install", SHOP, "/root/chain.pem", "/root/own.key")
    with without_ca(edge1):
        assert edge1.certificates("renew")[0] == 1
        code, output = playbook("status.yml")
        assert code and re.search(rf"edge1 CERTIFICATE {SHOP}: .*failing since .*:14000", output), output
    edge1.renew(SHOP)
    assert playbook("status.yml")[0] == 0
