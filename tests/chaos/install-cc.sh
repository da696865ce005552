#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install a C compiler, with which row C7c of the chaos matrix makes its clock, from Debian's or Ubuntu's own packages. Needs root.
set -eu
command -v cc >/dev/null && exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends gcc libc6-dev
