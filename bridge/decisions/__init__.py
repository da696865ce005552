# SPDX-License-Identifier: Apache-2.0
"""Durable decisions: how one is made in four steps, the facts that remember it, and how Redis learns them again."""
