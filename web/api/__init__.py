# SPDX-License-Identifier: Apache-2.0
"""
The management API under `/api/v1`: plain Flask, in threads, over the same use cases as the command line.

A key with the scope `admin` manages its own tenant and sees nothing of any other.
"""
