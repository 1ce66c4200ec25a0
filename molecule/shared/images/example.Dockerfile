# SPDX-License-Identifier: Apache-2.0
# Where the example's own tests run: Node, a database and a cache to start at will, and a browser.
ARG FROM
FROM ${FROM}
COPY node/ /usr/local/
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
# The test user starts databases of its own: the package need not make one.
RUN mkdir -p /etc/postgresql-common \
 && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold \
      chromium fonts-dejavu-core postgresql redis-server >/dev/null \
 && apt-get clean && rm -rf /var/lib/apt/lists/* \
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
 && useradd --uid 1001 --create-home tester
USER 1001
WORKDIR /home/tester
