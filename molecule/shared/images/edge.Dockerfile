# SPDX-License-Identifier: Apache-2.0
# The edge's Nginx with its scripting, and what tests of the script need.
ARG FROM
FROM ${FROM}
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      nginx libnginx-mod-http-js python3 python3-jinja2 python3-pytest python3-yaml >/dev/null \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
