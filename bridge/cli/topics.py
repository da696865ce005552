# SPDX-License-Identifier: Apache-2.0
"""`evb topics`: the catalogue's topics as the brokers know them; create what is missing, name what is wrong."""

from __future__ import annotations

from dataclasses import asdict

import typer

from bridge.cli.output import FAILED, out, show_json, show_rows
from bridge.cli.target import AsJson, Data, operator_settings
from bridge.hosting.find import find_processes
from bridge.kafka.admin import TopicState, check_topics, ensure_topics, list_topics, result_topics
from bridge.settings import Settings
from bridge.topics import Topic, catalogue, results

app = typer.Typer(no_args_is_help=True, help="List, create and check the topics.")


@app.command("list")
def list_(data: Data = None, as_json: AsJson = False) -> None:
    """List the topics with their key, clean-up, writers and readers."""
    settings = operator_settings(data)
    known = {state.name: state for state in (*list_topics(settings), *result_topics(settings))}
    known_as = {topic.name(settings): topic for topic in catalogue(settings)}
    rows = [_row(state, known_as.get(name) or _result(name, settings)) for name, state in known.items()]
    show_rows(
        rows, ("topic", "partitions", "replicas", "cleanup", "key", "written by", "read by"), as_json=as_json, empty="No topics."
    )


@app.command()
def ensure(data: Data = None, as_json: AsJson = False) -> None:
    """Create the topics that are missing, the result topics of the installed processes included."""
    settings = operator_settings(data)
    created = ensure_topics(settings, _of_processes())
    if as_json:
        show_json({"created": created})
    else:
        out.print("\n".join(f"✓ {name} created" for name in created) or "✓ All topics are there.", markup=False)


@app.command()
def check(data: Data = None, as_json: AsJson = False) -> None:
    """Compare the topics with the catalogue; exit code 1 where something is wrong."""
    wrong = check_topics(operator_settings(data), _of_processes())
    if as_json:
        show_json([asdict(fault) for fault in wrong])
    else:
        out.print("\n".join(f"✗ {fault}" for fault in wrong) or "✓ All topics are as they should be.", markup=False)
    if wrong:
        raise typer.Exit(FAILED)


def _of_processes() -> list[Topic]:
    return [*find_processes().topics]


def _result(name: str, settings: Settings) -> Topic:
    return results(name.removeprefix(f"{settings.topic_prefix}.results."))


def _row(state: TopicState, topic: Topic) -> dict[str, object]:
    return {
        "topic": state.name,
        "partitions": state.partitions or "missing",
        "replicas": state.replicas,
        "cleanup": topic.cleanup,
        "key": topic.key,
        "written by": topic.written_by,
        "read by": topic.read_by,
    }
