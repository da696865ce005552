# SPDX-License-Identifier: Apache-2.0
"""
Logging of every process: one JSON object per line on stdout in production, readable lines in a terminal.

`configure` is called once by the process's entry point; all other code calls `get`. Libraries that log by the standard
library come out in the same form.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import orjson
import structlog

from bridge.domain.event import Event

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

QUIET = ("faust", "mode", "aiokafka", "kafka", "werkzeug", "asyncio")
"""Libraries whose everyday messages are noise: warnings and worse only, unless the level is debug."""


class Wanted(Protocol):
    """What is asked of the settings, of which not every process has the whole (`web.launch`)."""

    @property
    def log_format(self) -> str: ...
    @property
    def log_level(self) -> str: ...


def configure(settings: Wanted) -> None:
    """Set this process's logging up. Again: replaces what an earlier call set up."""
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json(settings))],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))


def get(name: str) -> FilteringBoundLogger:
    """Give the logger of a part; usable before `configure`."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))


def of_execution(process: str, event: Event, execution_id: str) -> FilteringBoundLogger:
    """Get the logger that a process is given for one execution; it is made once the process says something."""
    return cast("FilteringBoundLogger", _OfExecution(process, event, execution_id))


class _OfExecution:
    """A logger that is not there yet: most executions say nothing."""

    __slots__ = ("_logger", "_of")

    def __init__(self, process: str, event: Event, execution_id: str) -> None:
        self._of, self._logger = (process, event, execution_id), None

    def __getattr__(self, name: str) -> Any:
        if self._logger is None:
            process, event, execution_id = self._of
            bound = {
                "tenant": event.tenant,
                "event_key": event.key,
                "execution_id": execution_id,
                "correlation_id": event.correlation_id or event.key,
            }
            self._logger = structlog.get_logger(f"process.{process}", **bound)
        return getattr(self._logger, name)


def as_json(settings: Wanted) -> bool:
    """Say whether lines are JSON: asked for, or nobody watches."""
    return settings.log_format == "json" or (settings.log_format == "auto" and not sys.stdout.isatty())


def _shared() -> Sequence[Processor]:
    return (
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    )


def _rendering(json: bool) -> Sequence[Processor]:
    if json:
        return structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_dumps)
    return (structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()),)


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
