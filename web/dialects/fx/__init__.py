# SPDX-License-Identifier: Apache-2.0
"""The FX Event Bridge API: events in, executions out, in the words of its document (see README.md)."""
