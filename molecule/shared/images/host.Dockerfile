# SPDX-License-Identifier: Apache-2.0
# A fresh Debian host: what a cloud image brings (systemd, sshd, Python, sudo) and nothing of ours.
ARG FROM
FROM ${FROM}
# Container images forbid services to start and throw away downloaded lists; a host does neither.
# hadolint ignore=DL3009
RUN rm -f /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/docker-* \
 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      curl dbus iproute2 kmod openssh-server procps python3 python3-apt sudo systemd systemd-sysv >/dev/null \
 && apt-get clean \
 && rm -f /etc/ssh/ssh_host_* /etc/machine-id \
 && touch /etc/machine-id \
 && useradd --create-home --shell /bin/bash admin \
 && install -d -m 0700 -o admin -g admin /home/admin/.ssh \
 && echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin \
 && chmod 0440 /etc/sudoers.d/admin
COPY --chown=root:root boot /usr/local/sbin/lab-boot
ENV container=docker
STOPSIGNAL SIGRTMIN+3
CMD ["/usr/local/sbin/lab-boot"]
