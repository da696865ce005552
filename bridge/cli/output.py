# SPDX-License-Identifier: Apache-2.0
"""What a person or a script sees: tables or JSON on stdout, one sentence per fault on stderr, and the exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.domain.errors import BridgeError, Misconfigured, NotAllowed, NotAuthenticated, NotFound

PIPED_COLUMNS = 400  # a table that is piped must not be folded to a terminal that does not exist
FAILED, USAGE, NOT_FOUND, DENIED, TIMED_OUT, INTERRUPTED = 1, 2, 3, 4, 5, 130

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPED_COLUMNS)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def keep_logs_quiet() -> None:
    """
    Let what libraries and our own parts log go nowhere (with EVB_DEBUG: to stderr): a command says what matters itself.

    The servers' commands replace this by `bridge.logs.configure`.
    """
    level = logging.DEBUG if os.environ.get("EVB_DEBUG") else logging.CRITICAL
    logging.basicConfig(stream=sys.stderr, level=level)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level), logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )


def show_json(value: Any) -> None:
    """Write one JSON document and a line end to stdout."""
    out.file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Write rows as a table (or a JSON list); `empty` says which command would fill an empty one."""
    if as_json:
        show_json(list(rows))
    elif not rows:
        out.print(empty, markup=False)
    else:
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(Text(str(row.get(c, ""))) for c in columns))
        out.print(table)


def exit_code_of(error: BaseException) -> int:
    """Give the exit code that an error ends the program with."""
    match error:
        case NotFound():
            return NOT_FOUND
        case NotAuthenticated() | NotAllowed():
            return DENIED
        case Misconfigured():
            return USAGE
        case TimeoutError():
            return TIMED_OUT
        case _:
            return FAILED


def explain(error: BaseException) -> None:
    """Write an error as sentences to stderr; with EVB_DEBUG set, the stack as well."""
    if os.environ.get("EVB_DEBUG"):
        err.print_exception()
    text = str(error) if isinstance(error, (BridgeError, TimeoutError, OSError)) else f"{type(error).__name__}: {error}"
    err.print(f"✗ {text}", markup=False, style="red")


def explain_usage(error: typer.TyperException) -> None:
    """Write what is wrong with the command line to stderr, and where its help is."""
    context = getattr(error, "ctx", None)
    err.print(f"✗ {error.format_message()}", markup=False, style="red")
    err.print(f"  {context.command_path if context else 'evb'} --help says how it is used.", markup=False)
