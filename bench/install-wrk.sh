#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install wrk, the load generator of `make bench`, from Debian's or Ubuntu's own packages. Needs root.
set -eu
command -v wrk >/dev/null && exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends wrk
