# SPDX-License-Identifier: Apache-2.0
"""The Buildable Event API: emit, query, claim, transact."""
