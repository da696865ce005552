# SPDX-License-Identifier: Apache-2.0
"""Calling a process: on the loop, in a thread or in a child process that can be killed."""
