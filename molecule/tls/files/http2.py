# SPDX-License-Identifier: Apache-2.0
"""Requests over HTTP/2 on a few connections that stay, until a file appears: prints how many, and every failure. Nothing is tried again."""

import asyncio
import os
import sys

import httpx

ADDRESS, NAME, STOP = sys.argv[1:]


async def one(counts, failures):
    """Ask on one connection."""
    transport = httpx.AsyncHTTPTransport(http2=True, http1=False, verify=False, retries=0)
    async with httpx.AsyncClient(transport=transport, timeout=15) as client:
        while not os.path.exists(STOP):
            try:
                answer = await client.get(
                    f"https://{ADDRESS}/", headers={"Host": NAME}, extensions={"sni_hostname": NAME}
                )
                good = (
                    answer.status_code == 200
                    and answer.http_version == "HTTP/2"
                    and answer.json()["version"] in ("v1", "v2")
                )
                counts.append(1)
                if not good:
                    failures.append(f"{answer.http_version} {answer.status_code}")
            except Exception as error:
                failures.append(repr(error))
            await asyncio.sleep(0.02)


async def main():
    """Ask on all of them."""
    counts, failures = [], []
    await asyncio.gather(*(one(counts, failures) for _ in range(4)))
    print(len(counts), *failures, sep="\n")


asyncio.run(main())
