# SPDX-License-Identifier: Apache-2.0
"""App hosts leave the rotation and come back under load, and releases go out meanwhile."""

from __future__ import annotations

from tests.support.lab import APP_HOSTS, QUICK, Lab
from tests.support.load import Ask, Load

ASKS = (Ask("GET", "/api/version", expect=(200,)), Ask("GET", "/api/accountants", expect=(200,)))
# A reload of Nginx may cost a client a request; its cost is stated, not promised away.
RELOADS = 4


def test_a_host_is_drained_misses_a_release_and_joins_with_it(lab: Lab, v1_0_0: str) -> None:
    with Load(lab.url, *ASKS, rate=100) as load:
        drained = lab.playbook("playbooks/hosts/drain", "-e", "release_host=app2").good()
        assert "drain      app2: it gets no new requests" in drained.output
        assert set(lab.served()) == {"app1"}
        assert "already" in lab.playbook("playbooks/hosts/drain", "-e", "release_host=app2").good().output

        # A release goes out without it, and does not bring it back.
        run = lab.deploy("v1.1.0", *QUICK).good()
        assert "drained    app2, until playbooks/hosts/join.yml" in run.output
        assert run.ran("Start | Bring") == {"app1"}
        assert lab.served() == {"app1": "v1.1.0"}
        status = lab.playbook("status").good().output
        assert "app2       DRAINED" in status and "marketplace: live" in status

        joined = lab.playbook("playbooks/hosts/join", "-e", "release_host=app2").good()
        assert joined.ran("Start | Bring") == {"app2"}
    assert lab.served() == dict.fromkeys(APP_HOSTS, "v1.1.0")
    assert load.report.failed <= RELOADS, str(load.report)
    assert not any(lab.leases().values())
    assert "nothing was changed" in lab.deploy("v1.1.0").good().output


def test_a_host_nobody_knows_is_refused_in_one_line(lab: Lab, v1_0_0: str) -> None:
    message = lab.playbook("playbooks/hosts/drain", "-e", "release_host=app22").error()
    assert "release_host=app22 is not an app host of the inventory: did you mean 'app2'" in message
    assert not any(lab.leases().values())
