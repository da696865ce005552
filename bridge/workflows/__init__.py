# SPDX-License-Identifier: Apache-2.0
"""
Workflows: their documents, and what a run of one does with each signal. Pure: no clock, no Kafka, no registry.

`reading` turns JSON or YAML into a `document.Workflow`, or names every fault with its place; `advance` is the fold of a run.
"""
