# SPDX-License-Identifier: Apache-2.0
# Stand-in for the public Alpine image of Node where no registry answers: Node and npm as a Python wheel ships them, and
# of Debian what these need.
ARG FROM
FROM ${FROM} AS parts
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends busybox-static libstdc++6 tini >/dev/null
COPY node/ /usr/local/
COPY collect /usr/local/sbin/
# Add-ons that npm installs want librt. Prisma asks for OpenSSL, which the public image has.
RUN rm -r /usr/local/lib/node_modules/npm/docs /usr/local/lib/node_modules/npm/man /usr/local/lib/node_modules/corepack \
 && collect /image /usr/local/bin/node /usr/bin/tini /lib/*/librt.so.1 /lib/*/libssl.so.3 \
 && cp -r /usr/local/lib/node_modules --parents /image \
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js /image/usr/local/bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /image/usr/local/bin/npx \
 && echo 'node:x:1000:1000::/home/node:/bin/sh' >>/image/etc/passwd \
 && echo 'node:x:1000:' >>/image/etc/group \
 && install -d -o 1000 -g 1000 /image/home/node

FROM scratch
COPY --from=parts /image/ /
# npm and Node trust what the system trusts.
ENV PATH=/usr/local/bin:/usr/bin \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
RUN node --version && npm --version
CMD ["node"]
