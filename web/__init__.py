# SPDX-License-Identifier: Apache-2.0
"""HTTP: the doors. Routes read and authenticate, dialects translate, `bridge.intake` accepts."""
