# SPDX-License-Identifier: Apache-2.0
"""Bytes and headers ↔ Event, by CloudEvents 1.0.2. Pure and strict: no input or output here."""
