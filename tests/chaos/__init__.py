# SPDX-License-Identifier: Apache-2.0
"""Kill, freeze and flood the real product, then account for every event."""
