# SPDX-License-Identifier: Apache-2.0
"""`evb secrets` as an operator calls it, for the credentials of one dialect."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from bridge.cli.secrets import app
from bridge.settings import Settings
from tests.conftest import as_environ


def evb_secrets(dialect: str, settings: Settings, *arguments: str) -> Any:
    """Run the command; gives what it said, read where it was asked for JSON, and raises what it raised."""
    done = CliRunner().invoke(app, [*arguments, "--dialect", dialect], env=as_environ(settings))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout[done.stdout.index("{") :]) if "--json" in arguments else done.stdout
