# SPDX-License-Identifier: Apache-2.0
"""The one error of the way out."""

from __future__ import annotations

import aiohttp


class EgressError(aiohttp.ClientError):
    """
    A request that was refused or failed, by a kebab-case code.

    `address-not-allowed`, `invalid-url`, `redirect-not-followed`, `response-too-large`; from `post` also `unresolvable`,
    `connection-failed`, `tls-failed` and `timeout`. The text names the host, never the rest of a URL: that may be a secret.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason
