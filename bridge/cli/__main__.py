# SPDX-License-Identifier: Apache-2.0
"""`python -m bridge.cli`: the `evb` program where the script is not on the path."""

from bridge.cli.main import run

run()
