# SPDX-License-Identifier: Apache-2.0
"""What backups and restores take beside a plain copy of the same bytes, and how long a database of 1 GB is away: part of `make bench`.

On the lab's database host, with a table of random text. Each round copies the data directory without its WAL, backs it up whole to each repository,
and restores it beside the live cluster as a drill does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence

from tests.bench import figures
from tests.bench.fleet import on

DATABASE = "sluice_bench"
GIB = 2**30
COPY = "/var/lib/postgresql/sluice-bench-copy"
SETTLE_SECONDS = 300
Round = dict[str, float]


def fill(size: int) -> None:
    """Make a database whose one table has about ``size`` bytes that do not compress to nothing."""
    psql("postgres", f"create database {DATABASE}")
    psql(DATABASE, "create table filler (id bigint primary key, text text not null)")
    row = 150  # bytes on disk, with its header and its place in the index
    step = 500_000
    for first in range(0, size // row, step):
        last = min(first + step, size // row)
        psql(
            DATABASE,
            f"insert into filler select i, md5(i::text) || md5((i * 7)::text) from generate_series({first}, {last - 1}) i",
        )
    for statement in ("vacuum analyze filler", "checkpoint"):
        psql(DATABASE, statement)
    settle()


def settle() -> None:
    """Wait until the archiver has shipped what was written: it would share the disk with what is measured."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while psql("postgres", "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'") != "0":
        assert time.monotonic() < deadline, f"the archiver has not caught up in {SETTLE_SECONDS} s"
        time.sleep(1)


def one_round(data: str, repositories: Sequence[str]) -> Round:
    """Seconds of everything, once."""
    found: Round = {}
    begin = time.monotonic()
    # Without the WAL: a backup has what is needed of it from the archive.
    parts = f"find {data} -mindepth 1 -maxdepth 1 ! -name pg_wal -exec cp -r -t {COPY} {{}} +"
    on("db1", f"rm -rf {COPY} && mkdir {COPY} && {parts} && sync -f {COPY}")
    found["cp"] = time.monotonic() - begin
    on("db1", f"rm -rf {COPY}")
    runs = json.loads(on("db1", "sluice-backup --json full"))["runs"]
    for name in repositories:
        assert runs[name]["ok"], runs[name]["message"]
        found[f"backup_{name}"] = runs[name]["ended"] - runs[name]["begun"]
        drill = json.loads(on("db1", f"sluice-backup --json drill --repository {name}"))
        assert drill["verdict"] == "proved", drill["reason"]
        found[f"rto_{name}"] = drill["rto_seconds"]
        found[f"drill_{name}"] = drill["ended"] - drill["begun"]
    print("  " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in found.items()), flush=True)
    return found


def summary(rounds: Sequence[Round], size: int) -> dict[str, float]:
    """The figures by name: medians, ratios within a round. ``size`` is the cluster's bytes."""

    def median(name: str, over: str = "") -> float:
        return statistics.median(one[name] / (one[over] if over else 1.0) for one in rounds)

    return {
        "database_gib": size / GIB,
        "cp_seconds": median("cp"),
        "backup_over_cp": median("backup_local", "cp"),
        "backup_to_store_over_cp": median("backup_store", "cp"),
        "restore_over_cp": median("rto_local", "cp"),
        "restore_from_store_over_cp": median("rto_store", "cp"),
        "rto_1gb_seconds": median("rto_store") * GIB / size,
        "drill_seconds": median("drill_store"),
    }


def psql(database: str, query: str) -> str:
    """Ask the lab's database."""
    return on("db1", f'runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d {database} -c "{query}"').strip()


def main() -> None:
    """Measure, write, print; the database is removed again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--mebibytes", type=int, default=1024, help="size of the database (default 1024)")
    options = parser.parse_args()
    repositories = ("local", "store")
    psql("postgres", f"drop database if exists {DATABASE}")
    try:
        print(f"making a database of {options.mebibytes} MiB", flush=True)
        fill(options.mebibytes * 2**20)
        data = psql("postgres", "show data_directory")
        size = int(psql("postgres", "select sum(pg_database_size(oid)) from pg_database"))
        rounds = [one_round(data, repositories) for _ in range(options.rounds)]
    finally:
        psql("postgres", f"drop database if exists {DATABASE}")
        on("db1", f"rm -rf {COPY}; sluice-backup full")
    found = summary(rounds, size)
    figures.write(found)
    print("", *(f"{name:<28}{value:>8.2f}" for name, value in found.items()), "", sep="\n")


if __name__ == "__main__":
    main()
