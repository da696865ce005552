# SPDX-License-Identifier: Apache-2.0
"""What a worker does beside its events: give back what waited, renew, forget, timers, schedules."""
