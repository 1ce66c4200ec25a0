# SPDX-License-Identifier: Apache-2.0
"""What Redis says of its users and connections, and a server's protocol."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.redis import server as redis
from ansible_collections.sluice.stack.plugins.module_utils.rotation import login
from ansible_collections.sluice.stack.plugins.module_utils.rotation.steps import RotationError

# As Redis 8.0 answers ACL LIST and CLIENT LIST, shortened.
USERS = [
    "user default on sanitize-payload #9f86d081884c7d65 ~* &* +@all",
    "user shop_a on sanitize-payload #60303ae22b998861 ~* &* +@all -@admin",
    "user shop_b off resetchannels -@all",
]
CLIENTS = (
    "id=3 addr=10.0.0.21:42000 laddr=10.0.0.31:6379 fd=8 name= age=5 user=shop_a library-name=\n"
    "id=4 addr=10.0.0.21:42002 laddr=10.0.0.31:6379 fd=9 name= age=5 user=shop_a library-name=\n"
    "id=5 addr=127.0.0.1:51000 laddr=127.0.0.1:6379 fd=10 name= age=0 user=default library-name=\n"
)


def test_users() -> None:
    found = redis.users(USERS)
    assert {name: user["login"] for name, user in found.items()} == {"default": True, "shop_a": True, "shop_b": False}
    assert found["shop_a"]["passwords"] == ["60303ae22b998861"]
    assert found["shop_b"]["passwords"] == []


def test_connections() -> None:
    assert redis.in_use(CLIENTS, "shop_a") == ["shop_a from 10.0.0.21: 2 connections"]
    assert redis.in_use(CLIENTS, "default") == ["default from 127.0.0.1: 1 connection"]
    assert redis.in_use(CLIENTS, "shop_b") == []


def test_the_default_user_stays() -> None:
    family = login.redis("shop")
    assert family.user("redis://:secret@cache:6379/0") == "default"
    assert family.next("default", {"default": True}) == "shop_a"
    assert family.old("shop_a", {"default": True, "shop_a": True}) == ()
    assert family.old("shop_b", {"default": True, "shop_a": True, "shop_b": True}) == ("shop_a",)
    assert login.with_login("redis://:secret@cache:6379/0", "shop_a", "n/w") == "redis://shop_a:n%2Fw@cache:6379/0"
    with pytest.raises(RotationError, match="its user is 'other'"):
        family.user("redis://other:secret@cache")


@pytest.fixture
def answers() -> Iterator[tuple[int, list[bytes]]]:
    """A server that says this, one answer for each command."""
    said: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection = listener.accept()[0]
        while said and connection.recv(4096):
            connection.sendall(said.pop(0))
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1], said
    listener.close()


def test_the_protocol(answers: tuple[int, list[bytes]]) -> None:
    port, said = answers
    said += [b"+OK\r\n", b"*2\r\n$5\r\nuser \r\n$-1\r\n", b":3\r\n", b"-NOPERM no\r\n"]
    server = redis.Server(port, "secret")
    assert server.ask("ACL", "LIST") == ["user ", None]
    assert server.ask("CLIENT", "KILL", "USER", "a") == 3
    with pytest.raises(redis.RedisError, match="it refuses: NOPERM no"):
        server.ask("ACL", "LIST")
    with pytest.raises(redis.RedisError, match="it ended the connection"):
        server.ask("PING")


def test_a_wrong_password_and_no_server(answers: tuple[int, list[bytes]]) -> None:
    port, said = answers
    said.append(b"-WRONGPASS invalid\r\n")
    with pytest.raises(redis.RedisError, match="it refuses: WRONGPASS") as caught:
        redis.Server(port, "secret")
    assert "secret" not in str(caught.value)
    with pytest.raises(redis.RedisError, match="nothing answers at port 1"):
        redis.Server(1, "secret")


def test_the_default_users_password(tmp_path: Path) -> None:
    path = tmp_path / "password.conf"
    with pytest.raises(redis.RedisError, match="is this a host of the role redis"):
        redis.admin_password(str(path))
    path.write_text('# managed by sluice.stack\nrequirepass "a b#c"\n')
    assert redis.admin_password(str(path)) == "a b#c"
