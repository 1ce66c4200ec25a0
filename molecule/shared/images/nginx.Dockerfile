# SPDX-License-Identifier: Apache-2.0
# Stand-in for the public unprivileged Alpine image of Nginx where no registry answers: of Debian what Nginx needs.
ARG FROM
FROM ${FROM} AS parts
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends busybox-static nginx tini >/dev/null
COPY collect /usr/local/sbin/
COPY nginx.conf /etc/nginx/nginx.conf
RUN collect /image /usr/sbin/nginx /usr/bin/tini \
 && cp --parents /etc/nginx/mime.types /etc/nginx/nginx.conf /image \
 && echo 'nginx:x:101:101::/nonexistent:/bin/false' >>/image/etc/passwd \
 && echo 'nginx:x:101:' >>/image/etc/group \
 && install -d -o 101 -g 101 /image/etc/nginx/conf.d /image/usr/share/nginx/html

FROM scratch
COPY --from=parts /image/ /
ENV PATH=/usr/sbin:/usr/bin
USER 101
EXPOSE 8080
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
