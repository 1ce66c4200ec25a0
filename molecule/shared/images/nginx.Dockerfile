# SPDX-License-Identifier: Apache-2.0
# Stand-in for the public unprivileged Nginx image where no registry answers.
ARG FROM
FROM ${FROM}
RUN apt-get update -qq \
 && groupadd --gid 101 nginx \
 && useradd --uid 101 --gid nginx --no-create-home --shell /usr/sbin/nologin nginx \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light curl >/dev/null \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /etc/nginx/sites-enabled /var/www/html \
 && install -d -o nginx -g nginx /etc/nginx/conf.d /usr/share/nginx/html /var/cache/nginx
COPY nginx.conf /etc/nginx/nginx.conf
USER 101
EXPOSE 8080
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
