# SPDX-License-Identifier: Apache-2.0
# Stand-in for the public Node image where no registry answers: Node and npm as a Python wheel ships them.
ARG FROM
FROM ${FROM}
COPY node/ /usr/local/
# npm and Node trust what the system trusts.
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
 && groupadd --gid 1000 node \
 && useradd --uid 1000 --gid node --create-home node \
 && node --version \
 && npm --version
CMD ["node"]
