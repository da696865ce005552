# SPDX-License-Identifier: Apache-2.0
"""`evb`: one command (or noun) per file. The outermost ring: it may import everything, nothing imports it."""
