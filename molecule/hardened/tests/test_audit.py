# SPDX-License-Identifier: Apache-2.0
"""playbooks/checks/security.yml passes the hardened hosts, changes nothing on them, and finds each weakness that is planted."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator

import pytest
from conftest import HARDENED, V4, on

REPOSITORY = pathlib.Path(__file__).parents[3]
STATE = (
    "find /etc /root /home /usr/local /opt /srv /var/lib/sluice* /var/lib/apt /var/lib/dpkg /var/cache "
    "-xdev -printf '%p %m %u %g %s %T@ %C@\\n' 2>/dev/null | sort"
)
NAME = "shop.example.test"
ROUTES = json.dumps({"app_routes": [{"host": NAME, "path": "/", "service": "web"}]})
Failures = dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def scanners(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The directory of the scanners, as requirements/audit.txt pins them."""
    folder = tmp_path_factory.mktemp("scanners")
    venv.create(folder, with_pip=True)
    lock = REPOSITORY / "requirements/audit.txt"
    subprocess.run([folder / "bin/pip", "install", "-q", "--require-hashes", "-r", lock], check=True, timeout=300)
    return folder / "bin"


class Audit:
    """One run of the playbook."""

    def __init__(self, scanners: pathlib.Path, report: pathlib.Path, *extra: str) -> None:
        """With Ansible's own output, which counts changes."""
        inventory = pathlib.Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
        here = pathlib.Path(sys.executable).parent
        done = subprocess.run(
            [
                *(here / "ansible-playbook", REPOSITORY / "playbooks/checks/security.yml", "-i", inventory),
                *("-e", f"security_report={report}", *extra),
            ],
            cwd=REPOSITORY,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(("MOLECULE_", "ANSIBLE_"))},
                "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
                "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
                "ANSIBLE_NOCOLOR": "1",
                "MOLECULE_PROJECT_DIRECTORY": str(REPOSITORY),
                "PATH": f"{here}:{scanners}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        self.code, self.output = done.returncode, done.stdout + done.stderr
        self.rows = json.loads(report.read_text())["checks"]

    def rows_of(self, state: str) -> Failures:
        """The evidence of each check in a state."""
        return {(row["name"], row["host"]): row["evidence"] for row in self.rows if row["state"] == state}


def test_hardened_hosts_pass_and_nothing_changes(
    lynis: Callable[[], str], scanners: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    # That writes, so it has to be over.
    lynis()
    before = {host: set(on(host, "sh", "-c", STATE).splitlines()) for host in HARDENED}
    audit = Audit(scanners, tmp_path / "report.json")
    after = {host: set(on(host, "sh", "-c", STATE).splitlines()) for host in HARDENED}
    assert {host: after[host] ^ before[host] for host in HARDENED} == {host: set() for host in HARDENED}
    assert min(map(len, before.values())) > 500
    assert audit.code == 0, audit.output
    # What lynis says of edge1, another test reads.
    assert {row for row in audit.rows_of("failed") if row[0] != "lynis"} == set()
    assert set(re.findall(r"changed=(\d+)", audit.output)) == {"0"}
    # No site is served here.
    unknown = {name for name, _host in audit.rows_of("unknown")}
    assert unknown <= {"lynis"}, audit.rows_of("unknown")
    assert {("ssh_algorithms", host) for host in HARDENED} <= set(audit.rows_of("ok"))


# Each weakness: where, the shell that makes it, and the shell that takes it back.
CERTIFICATE = (
    f"openssl req -x509 -newkey rsa:2048 -nodes -days -3 -subj /CN={NAME} -addext subjectAltName=DNS:{NAME} "
    "-keyout /etc/planted/key.pem -out /etc/planted/cert.pem 2>/dev/null || "
    f"openssl req -x509 -newkey rsa:2048 -nodes -not_before 20250101000000Z -not_after 20250201000000Z -subj /CN={NAME} "
    f"-addext subjectAltName=DNS:{NAME} -keyout /etc/planted/key.pem -out /etc/planted/cert.pem"
)
PLANTED = {
    "edge1": (
        f"mkdir -p /etc/planted && {CERTIFICATE} && chmod 644 /etc/planted/key.pem && touch /etc/planted/world && chmod 666 /etc/planted/world && "
        "systemd-run --unit=planted openssl s_server -accept 443 -cert /etc/planted/cert.pem -key /etc/planted/key.pem -www "
        "-cipher ALL:@SECLEVEL=0 && "
        "printf 'PasswordAuthentication yes\\nMACs hmac-sha1\\n' >/etc/ssh/sshd_config.d/00-a.conf && systemctl reload ssh && "
        "sysctl -qw net.ipv4.conf.all.accept_redirects=1",
        "systemctl stop planted; rm -rf /etc/planted /etc/ssh/sshd_config.d/00-a.conf; systemctl reload ssh; "
        "sysctl -qw net.ipv4.conf.all.accept_redirects=0",
    ),
    "app1": (
        "cd /tmp && mkdir -p planted && cp /bin/busybox planted/ && tar -C planted -c . | docker import - planted >/dev/null && "
        "docker run --detach --name planted --privileged -v /var/run/docker.sock:/var/run/docker.sock --publish 8091:80 planted "
        "/busybox httpd -f -p 80 && nft insert rule inet sluice arriving tcp dport 8091 accept && "
        "nft insert rule inet sluice arriving tcp dport 3306 accept",
        "docker rm -f planted; nft -f /etc/nftables.conf; rm -rf /tmp/planted",
    ),
    "app2": (
        "useradd --non-unique --uid 0 toor && usermod -aG docker jane && chmod 666 /var/run/docker.sock && "
        "systemctl disable -q apt-daily-upgrade.timer && touch /run/reboot-required && "
        "systemd-run --unit=planted python3 -m http.server 9999 --bind 0.0.0.0",
        "systemctl stop planted; userdel toor 2>/dev/null || sed -i '/^toor:/d' /etc/passwd /etc/shadow /etc/group /etc/gshadow; "
        "gpasswd -d jane docker; chmod 660 /var/run/docker.sock; systemctl enable -q apt-daily-upgrade.timer; rm -f /run/reboot-required",
    ),
}
FOUND = [
    ("ssh_settings", "edge1", "passwordauthentication yes"),
    ("ssh_algorithms", "edge1", "hmac-sha1"),
    ("certificate", "edge1", "expired"),
    ("tls_grade", "edge1", "ciphers"),
    ("tls_versions", "edge1", "accepts TLS 1.0"),
    ("headers", "edge1", "no Strict-Transport-Security"),
    ("secret_files", "edge1", "/etc/planted/key.pem"),
    ("writable_files", "edge1", "/etc/planted/world"),
    ("kernel", "edge1", "net.ipv4.conf.all.accept_redirects is 1, not 0"),
    ("containers_escape", "app1", "planted is privileged"),
    ("containers_escape", "app1", "planted mounts /var/run/docker.sock"),
    ("containers_user", "app1", "planted runs as root"),
    ("containers_published", "app1", "planted publishes 8091 on all addresses"),
    ("ports", "app1", f"{V4['app1']} port 8091 is open"),
    ("ports_dropped", "app1", "3306"),
    ("listening", "app1", "docker-proxy on port 8091"),
    ("firewall", "app1", "differs from what was loaded"),
    ("accounts", "app2", "toor is root under another name"),
    ("docker_group", "app2", "jane is in group docker"),
    ("engine", "app2", "anybody may use its socket"),
    ("upgrades_daily", "app2", "apt-daily-upgrade.timer is off"),
    ("reboot", "app2", "a reboot is due"),
    ("listening", "app2", "on port 9999"),
    # What the image lacks, without the scenario's waiver.
    ("upgrades", "app2", "→"),
]


@pytest.fixture(scope="module")
def planted(scanners: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    """An audit of hosts with all the weaknesses."""
    report = tmp_path_factory.mktemp("planted") / "report.json"
    try:
        for host, (plant, _back) in PLANTED.items():
            on(host, "bash", "-c", plant)
        yield Audit(scanners, report, "-e", ROUTES, "-e", json.dumps({"security_waivers": []}))
    finally:
        for host, (_plant, back) in PLANTED.items():
            on(host, "bash", "-c", back, check=False)


@pytest.mark.parametrize(("name", "host", "evidence"), FOUND)
def test_a_planted_weakness_is_found(planted: Audit, name: str, host: str, evidence: str) -> None:
    assert evidence in planted.rows_of("failed").get((name, host), "not failed"), planted.output


def test_the_audit_fails_for_them_and_names_the_worst_first(planted: Audit) -> None:
    assert planted.code != 0
    assert planted.rows[0]["severity"] == "critical"
    # The weaknesses are where they were planted, and on no other host.
    clean = {
        (name, host)
        for name, host in planted.rows_of("failed")
        if name not in ("upgrades", "containers_rights", "lynis")
    }
    assert clean == {(name, host) for name, host, _evidence in FOUND if name != "upgrades"}
