# SPDX-License-Identifier: Apache-2.0
"""Frozen values and pure rules. Imports the standard library only, does no input or output."""
