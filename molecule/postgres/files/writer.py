# SPDX-License-Identifier: Apache-2.0
"""Insert numbers, one commit each, over TLS that is verified in full; note every number the server acknowledged. Ends at the first error.

writer.py HOST FILE, with the password on standard input. Runs on a database host, whose Python has psycopg2.
"""

from __future__ import annotations

import sys
import time

import psycopg2

host, path = sys.argv[1:]
server = psycopg2.connect(
    host=host,
    user="marketplace",
    dbname="marketplace",
    password=sys.stdin.readline().strip(),
    sslmode="verify-full",
    sslrootcert="/etc/sluice/postgres/authority.pem",
    connect_timeout=5,
)
server.autocommit = True
cursor = server.cursor()
cursor.execute("drop table if exists written")
cursor.execute("create table written (n bigint primary key)")
with open(path, "w", encoding="ascii") as file:
    for number in range(1_000_000):
        try:
            cursor.execute("insert into written values (%s)", [number])
        except psycopg2.Error:
            break
        file.write(f"{number}\n")
        file.flush()
        time.sleep(0.005)
