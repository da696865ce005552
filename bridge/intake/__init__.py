# SPDX-License-Identifier: Apache-2.0
"""From a dialect's draft to a record that Kafka has confirmed: limits, duplicates, the reservation, the receipt."""
