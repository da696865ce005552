# SPDX-License-Identifier: Apache-2.0
"""What a worker remembers, as Faust tables over topics: finished executions, usage, order, and the state of processes."""
