# SPDX-License-Identifier: Apache-2.0
"""Certificates on an edge: a new one is swapped in when it is good, and the old one stays when it is not; what nothing uses goes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.certificates import edge as here
from ansible_collections.sluice.stack.plugins.module_utils.certificates import peers, settings, store
from ansible_collections.sluice.stack.plugins.module_utils.certificates.store import CertificateError

DAY = 86400.0
NOW = 1_800_000_000.0


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder for certificates, of a group that exists here; no Nginx answers."""
    monkeypatch.setattr(store, "GROUP", __import__("grp").getgrgid(__import__("os").getgid()).gr_name)
    monkeypatch.setattr(store, "shown", lambda host, port: "")
    return str(tmp_path)


def use(root: str, bundle: str, name: str = "a.test", served: tuple[str, ...] = ()) -> bool:
    return store.install(name, bundle, "self_signed", served, 443, root)


def test_a_certificate_is_swapped_in_and_the_old_one_is_kept(root: str) -> None:
    assert store.live("a.test", root) is None
    first, second, third = (store.self_signed("a.test", days) for days in (10, 20, 30))
    assert use(root, first) and not use(root, first), "twice is once"
    assert use(root, second) and use(root, third)
    found = store.live("a.test", root)
    assert found and found.origin == "self_signed" and found.names == ("a.test",)
    assert len([path for path in (Path(root) / "a.test").iterdir() if path.name != "live.pem"]) == 2
    assert all(path.stat().st_mode & 0o007 == 0 for path in Path(root).rglob("*.pem")), "for nobody else"


def test_a_wildcard_has_a_folder_that_nginx_finds(root: str) -> None:
    assert use(root, store.self_signed("*.a.test", 10), "*.a.test")
    assert (Path(root) / "_.a.test" / "live.pem").exists()


@pytest.mark.parametrize("what", ["foreign key", "foreign name", "no certificate", "no key"])
def test_a_bad_one_is_refused_and_the_old_one_stays(root: str, what: str) -> None:
    good, other = store.self_signed("a.test", 10), store.self_signed("a.test", 10)
    mark = "-----BEGIN CERTIFICATE"
    bad = {
        "foreign key": good[: good.index(mark)] + other[other.index(mark) :],
        "foreign name": store.self_signed("b.test", 10),
        "no certificate": good[: good.index(mark)],
        "no key": good[good.index(mark) :],
    }[what]
    use(root, good)
    with pytest.raises(CertificateError):
        use(root, bad)
    assert store.live_text("a.test", root) == good


def test_one_that_nginx_does_not_show_is_taken_back(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good, new = store.self_signed("a.test", 10), store.self_signed("a.test", 20)
    use(root, good)
    monkeypatch.setattr(store, "shown", lambda host, port: "another")
    with pytest.raises(CertificateError, match=r"does not serve it for a\.test"):
        use(root, new, served=("a.test",))
    assert store.live_text("a.test", root) == good


def test_a_bundle_that_was_damaged_in_its_place_is_replaced_by_the_one_before(root: str) -> None:
    first, second = store.self_signed("a.test", 10), store.self_signed("a.test", 20)
    use(root, first)
    use(root, second)
    assert store.repair("a.test", root) is None, "nothing is wrong"
    other = store.self_signed("a.test", 30)
    (Path(root) / "a.test" / "live.pem").resolve().write_text(
        second[: second.index("-----BEGIN CERT")] + other[other.index("-----BEGIN CERT") :]
    )
    assert "key does not belong" in str(store.repair("a.test", root))
    assert store.live_text("a.test", root) == first


def test_openssl_is_what_the_programs_ask(tmp_path: Path) -> None:
    bundle = store.self_signed("a.test", 10)
    (tmp_path / "a.pem").write_text(bundle)
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", tmp_path / "a.pem"], capture_output=True, text=True, check=True
    )
    assert str(store.described(bundle).life / DAY).startswith("10") and "notAfter" in said.stdout


@pytest.fixture
def edge(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """An edge that serves one name, and has certificates for it and for another one that Certbot obtained."""
    places = {name: tmp_path / name for name in ("etc", "nginx", "state", "tls")}
    for path in places.values():
        path.mkdir()
    for name in ("a.test", "_.b.test", "default"):
        store.install(
            name.replace("_", "*"), store.self_signed(name.replace("_", "*"), 10), "acme-1", (), 443, str(places["tls"])
        )
    for part in ("live/_.b.test", "archive/_.b.test", "live/a.test"):
        (places["state"] / "certbot" / part).mkdir(parents=True)
        (places["state"] / "certbot" / part / "privkey.pem").touch()
    (places["state"] / "certbot/renewal").mkdir()
    (places["state"] / "certbot/renewal/_.b.test.conf").touch()
    (places["nginx"] / "shop.conf").write_text("server {\n    server_name a.test;\n}\n")
    (places["etc"] / "old.test.pem").touch()
    (places["etc"] / "shop.json").write_text('{"defaults": {"source": "none"}, "hosts": {}}')
    monkeypatch.setattr(settings.read, "__defaults__", (str(places["etc"]),))
    monkeypatch.setattr(settings, "FOLDER", str(places["etc"]))
    monkeypatch.setattr(here, "EDGE_CONFIGS", str(places["nginx"]))
    for name, file in (("CERTBOT", "certbot"), ("FAILURES", "failures.json"), ("UNUSED", "unused.json")):
        monkeypatch.setattr(here, name, str(places["state"] / file))
    for function in (store.folders, store.folder_of, store.live, store.live_text):
        defaults = tuple(
            str(places["tls"]) if value == store.FOLDER else value for value in function.__defaults__ or ()
        )
        monkeypatch.setattr(function, "__defaults__", defaults)
    return places


def test_certificates_and_keys_of_names_that_are_gone_are_removed(edge: dict[str, Path]) -> None:
    def left() -> list[str]:
        kept = [*edge["tls"].iterdir(), *edge["state"].glob("certbot/*/*"), *edge["etc"].iterdir()]
        return sorted(str(path.relative_to(edge["tls"].parent)) for path in kept)

    before = left()
    here.Edge().forget(NOW)
    (edge["nginx"] / "blog.conf").write_text("server {\n    server_name x.b.test;\n}\n")
    here.Edge().forget(NOW + DAY)
    here.Edge().forget(NOW + 6 * DAY)
    assert left() == before, "not before a week has passed"
    here.Edge().forget(NOW + 9 * DAY)
    kept = [
        "etc/shop.json",
        "state/certbot/archive/_.b.test",
        "state/certbot/live/_.b.test",
        "state/certbot/live/a.test",
    ]
    kept += ["state/certbot/renewal/_.b.test.conf", "tls/_.b.test", "tls/a.test"]
    assert left() == kept, "a name that an app has got again keeps its wildcard; the default and the role's old file go"
    (edge["nginx"] / "blog.conf").unlink()
    for day in (10, 17):
        here.Edge().forget(NOW + day * DAY)
    assert left() == ["etc/shop.json", "state/certbot/live/a.test", "tls/a.test"]


def test_edges_ask_each_other_only_where_there_is_something_to_share(
    edge: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(source: str) -> list[str]:
        peer = {"name": "edge2", "address": "192.0.2.2"}
        hosts = {"a.test": {"source": source}}
        given = {"defaults": {"source": "none"}, "hosts": hosts, "peers": [peer]}
        (edge["etc"] / "shop.json").write_text(json.dumps(given))
        found: list[str] = []
        answer = {"names": [], "account": False}
        monkeypatch.setattr(peers, "talk", lambda peer, message: found.append(peer["name"]) or answer)
        here.Edge().spread()
        return found

    assert asked("files") == [] and asked("self_signed") == ["edge2"]
