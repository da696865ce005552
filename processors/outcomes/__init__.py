# SPDX-License-Identifier: Apache-2.0
"""What a process answered, and what becomes of its execution: checked, bounded, named. Pure."""
