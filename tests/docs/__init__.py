# SPDX-License-Identifier: Apache-2.0
"""The documentation is tested: its commands and code run on a real stack, its reference pages equal the catalogues."""
