#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A command for app_rotations: the keys are tokens of an OpenBao. Reads BAO_ADDR, BAO_CACERT and BAO_TOKEN, the token that may make and end them."""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request

asked = json.load(sys.stdin)
label = f"{asked['app']}-{asked['environment']}-{asked['secret']}"
tls = ssl.create_default_context(cafile=os.environ["BAO_CACERT"])


def call(method, path, body=None, token=os.environ["BAO_TOKEN"]):
    """Send a request to the API; returns the answer's fields, or None where the token is refused."""
    request = urllib.request.Request(
        f"{os.environ['BAO_ADDR']}/v1/auth/token/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Vault-Token": token},
    )
    try:
        with urllib.request.urlopen(request, context=tls, timeout=10) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        if error.code == 403:
            return None
        raise
    return json.loads(text) if text else {}


mine = call("GET", "lookup-self", token=asked["value"])
own = mine["data"]["accessor"] if mine else ""
others = []
for accessor in call("LIST", "accessors")["data"]["keys"]:
    found = call("POST", "lookup-accessor", {"accessor": accessor})
    if found and (found["data"]["meta"] or {}).get("key") == label and accessor != own:
        others.append(accessor)
match sys.argv[1:]:
    case ["list"]:
        print(json.dumps({"valid": bool(mine), "others": {accessor: [] for accessor in others}}))
    case ["create"]:
        made = call("POST", "create", {"meta": {"key": label}, "policies": ["default"], "period": "24h"})
        print(made["auth"]["client_token"])
    case ["revoke"]:
        # Without a key to keep this would end all.
        if not mine:
            sys.exit("the stored key is none of ours")
        for accessor in others:
            call("POST", "revoke-accessor", {"accessor": accessor})
    case _:
        sys.exit("list, create or revoke")
