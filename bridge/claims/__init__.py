# SPDX-License-Identifier: Apache-2.0
"""Claims: who holds an event under which key, decided durably (Buildable's transactions)."""
