# SPDX-License-Identifier: Apache-2.0
"""What every door shares: messages, authentication, bodies, problems, quota headers."""
