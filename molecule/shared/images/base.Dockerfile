# SPDX-License-Identifier: Apache-2.0
# Debian as this machine sees it: with its package mirror and its extra certificate authorities.
ARG FROM
FROM ${FROM}
COPY apt/ /etc/apt/
COPY ca/ /usr/local/share/ca-certificates/
# The machine's mirror replaces the image's list, or every package would be listed twice. The public image comes
# without certificate authorities.
RUN if [ -s /etc/apt/sources.list.d/debian.sources ]; then rm -f /etc/apt/sources.list; fi \
 && if ! command -v update-ca-certificates >/dev/null; then \
      apt-get update -qq \
      && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates >/dev/null \
      && apt-get clean && rm -rf /var/lib/apt/lists/*; \
    fi \
 && update-ca-certificates
