# SPDX-License-Identifier: Apache-2.0
"""The way out: HTTP to addresses that others chose, without reaching what only we can reach. Knows no framework of ours."""
