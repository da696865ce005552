# SPDX-License-Identifier: Apache-2.0
"""
Dead letters: found, shown, replayed and purged. Kafka's topic is all there is; nothing here needs Redis.

Used by `evb dlq` and by `/api/v1/deadletters`, which only read arguments and show results. The newest record of a key counts:
a purge is a tombstone, a replay's mark the letter written again with three headers more.
"""
