# SPDX-License-Identifier: Apache-2.0
"""
Bearer tokens of the Event Ingress product: given to a tenant's clients, and checked, whichever part of it is called.

Framework-free: doors say where a token came from and what scope they want.
"""
