# SPDX-License-Identifier: Apache-2.0
"""The `evb` program: a table of commands, each imported only when called, and the place where errors become exit codes."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from bridge.cli.output import INTERRUPTED, USAGE, exit_code_of, explain, explain_usage, keep_logs_quiet

COMMANDS = {
    "dev": "Run the whole product here: Kafka, Valkey, worker, web server and a demo tenant",
    "web": "Run a web server process",
    "worker": "Run a worker process",
    "trigger": "Send a test event and follow what becomes of it",
    "tail": "Follow events and their executions as they happen",
    "events": "Look events up",
    "dlq": "List, show, replay and purge dead letters",
    "replay": "Give past events to their processes again",
    "tenants": "Create, list, change and close tenants",
    "keys": "Create, list, rotate and revoke API keys",
    "secrets": "Create, list, rotate and revoke signing secrets",
    "plugins": "List and describe the installed plugins",
    "processes": "Pause and resume processes, for one tenant or for all",
    "workflows": "Apply, list, show, compare and delete workflows",
    "runs": "Show runs of workflows, end them, and go on from what failed",
    "topics": "List, create and check the topics",
    "workers": "Show the workers, and how each partition and process does",
    "usage": "Show how many events each tenant sent",
    "rebuild": "Rebuild the live view in Redis from Kafka",
    "doctor": "Check configuration and surroundings, and say how to mend them",
    "version": "Show the version",
}
"""Command or noun -> its one line of help. Each lives in `bridge.cli.<name>` as the Typer app `app`."""


class LazyGroup(TyperGroup):
    """List the commands from the table and import the one that is called: `evb version` must not load Faust."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"bridge.cli.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name, command.help = cmd_name, command.help or COMMANDS[cmd_name]
        command.params = [p for p in command.params if p.name not in ("install_completion", "show_completion")]
        command.short_help = COMMANDS[cmd_name]
        return command


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    help="Event Bridge: webhooks in, Kafka, plugins, results out.",
)


@app.callback()
def _root() -> None:
    """Event Bridge: webhooks in, CloudEvents in Kafka, plugins, results out."""


def run() -> None:
    """
    Run `evb`.

    Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 not authenticated or allowed, 5 timed out, 130 interrupted.
    """
    keep_logs_quiet()
    try:
        code = app(standalone_mode=False)
    except typer.Exit as err:
        code = err.exit_code
    except typer.TyperException as err:
        explain_usage(err)
        code = USAGE
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as err:  # noqa: BLE001  the edge: every error ends as one sentence and an exit code, never as a stack trace
        explain(err)
        code = exit_code_of(err)
    sys.exit(code if isinstance(code, int) else 0)
