# SPDX-License-Identifier: Apache-2.0
"""How a worker does: its watchdog, its probes and its figures."""
