# SPDX-License-Identifier: Apache-2.0
"""
Past events given again to the processes that they concern, or copied to a topic of the operator's. Reads and writes Kafka only.

Used by `evb replay`, and by `bridge.deadletters` for what both need to know: which replays were asked for already.
"""
