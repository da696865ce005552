# SPDX-License-Identifier: Apache-2.0
"""The processes that come with every worker."""
