# SPDX-License-Identifier: Apache-2.0
"""The kernel that all doors share. Nothing here below `bridge.cli` imports Flask or Faust."""

__version__ = "0.1.0"
