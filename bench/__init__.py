# SPDX-License-Identifier: Apache-2.0
"""
Measure this machine: the door, the worker, latency, memory and slow clients, each beside an honest floor.

`make bench` runs it all; `python -m bench ingress` (worker, latency, memory, slow) a part. Records are counted afterwards, so
that no 2xx is a lie. Figures depend on the machine: read the ratios.
"""
