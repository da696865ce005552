# SPDX-License-Identifier: Apache-2.0
"""Everything that speaks to Kafka outside the Faust agents: producers, administration, reading."""
