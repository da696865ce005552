# SPDX-License-Identifier: Apache-2.0
"""The native door: CloudEvents over HTTP, and the look-up of what became of them."""
