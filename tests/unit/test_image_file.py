# SPDX-License-Identifier: Apache-2.0
"""A file out of an image, for certificates that a database's URL names: the way the app itself would find it."""

from __future__ import annotations

import io
import tarfile
from contextlib import nullcontext
from typing import Any

import pytest
from ansible_collections.sluice.stack.plugins.module_utils.docker.engine import NotFound
from ansible_collections.sluice.stack.plugins.module_utils.migration.tool import Job, read_file

MANIFEST = {"app": "shop", "services": {"web": {"image": "shop@sha256:01"}}, "migration": {"service": "web"}}


class Engine:
    """An engine with one image; ``files`` maps its paths to contents, to the target of a link, or to None for a directory."""

    def __init__(self, **files: Any) -> None:
        self.files = {f"/{path.replace('__', '/')}": value for path, value in files.items()}
        self.containers: set[str] = set()

    def get(self, _: str) -> Any:
        return {"Config": {"WorkingDir": "/app/"}}

    def post(self, path: str, body: Any, name: str) -> None:
        assert (path, body["Image"]) == ("/containers/create", "shop@sha256:01")
        self.containers.add(name)

    def delete(self, path: str, **_: Any) -> None:
        self.containers.discard(path.rpartition("/")[2])

    def archive(self, container: str, path: str) -> bytes:
        assert container in self.containers
        if path not in self.files:
            raise NotFound("no such path")
        value, target = self.files[path], io.BytesIO()
        with tarfile.open(fileobj=target, mode="w") as tar:
            entry = tarfile.TarInfo(path.rpartition("/")[2])
            if isinstance(value, bytes):
                entry.size = len(value)
            elif value is None:
                entry.type = tarfile.DIRTYPE
            else:
                entry.type, entry.linkname = tarfile.SYMTYPE, value
            tar.addfile(entry, io.BytesIO(value if isinstance(value, bytes) else b""))
        return target.getvalue()


def job(engine: Any) -> Job:
    return Job(engine, MANIFEST, "blue", {}, nullcontext)


def test_a_path_is_that_of_the_container() -> None:
    engine = Engine(app__tls__ca=b"relative", tls__ca=b"absolute", link="../tls/ca", other="/link")
    assert read_file(job(engine), "tls/ca") == b"relative"
    assert read_file(job(engine), "/tls/ca") == b"absolute"
    assert read_file(job(engine), "/link") == read_file(job(engine), "/other") == b"absolute"
    assert engine.containers == set()


@pytest.mark.parametrize("files", [{}, {"ca": "/ca"}, {"ca": "gone"}, {"ca": None}])
def test_what_is_no_file_is_not_there(files: dict[str, Any]) -> None:
    engine = Engine(**files)
    with pytest.raises(FileNotFoundError, match=r"^image shop@sha256:01 has no file /"):
        read_file(job(engine), "/ca")
    assert engine.containers == set()
