# SPDX-License-Identifier: Apache-2.0
"""Plugins: how they are found and checked at start, and which of their processes get an event."""
