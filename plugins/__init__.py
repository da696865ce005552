# SPDX-License-Identifier: Apache-2.0
"""Business processes that ship with the product; each imports `bridge.sdk` only and is found like anyone else's."""
