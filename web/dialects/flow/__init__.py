# SPDX-License-Identifier: Apache-2.0
"""Boomerang Flow's API under `/api/v2`: events and webhooks that start runs, callbacks that wake them, and their look-up."""
