# SPDX-License-Identifier: Apache-2.0
"""Faust: the agents and tables of the worker. Nothing here speaks HTTP; nothing here imports `web`."""
