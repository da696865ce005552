# SPDX-License-Identifier: Apache-2.0
"""
The development stack: real Kafka and real Valkey as child processes, from wheels and jars alone.

Used by `evb dev` and by the tests. Nothing that runs in production imports it, and it knows nothing of web and worker
but how to start them.
"""
