# SPDX-License-Identifier: Apache-2.0
"""
Writes the generated blocks of the reference pages from the catalogues: settings, topics, the command line; and whole files.

`python docs/generate.py` rewrites the pages, `--check` only says which are stale (exit code 1). A block lies between
`<!-- generated: NAME -->` and `<!-- end -->`; everything around it is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.core import TyperArgument, TyperGroup, TyperOption

from bridge.cli.main import app
from bridge.metrics import described
from bridge.settings import AMBIENT, Settings, variables
from bridge.topics import Topic, catalogue, results
from bridge.workflows import schema
from web.http.problem_types import by_status

DOCS = Path(__file__).parent
BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings() -> str:
    """Give one table of all variables."""
    rows = [(f"`{name}`", _default(field), _allowed(field), field.description or "") for name, field in variables().items()]
    return _table(("variable", "default", "values", "meaning"), rows)


def ambient() -> str:
    """Give the variables of the program that are no settings."""
    return _table(("variable", "meaning"), [(f"`{name}`", meaning) for name, meaning in AMBIENT.items()])


def topics() -> str:
    """Give the catalogue of topics with their settings in Kafka's own names, at the default settings."""
    plain = Settings()
    known: Sequence[Topic] = (*catalogue(plain), results("<process>"))
    names = [
        (f"`{t.name(plain)}`", f"`{t.key}`", t.written_by, t.read_by, _retention(t, plain))
        for t in sorted(known, key=lambda topic: topic.suffix)
    ]
    configs = [
        (f"`{t.name(plain)}`", *(f"`{t.config(plain).get(n, '–')}`" for n in CONFIGS))
        for t in sorted(known, key=lambda topic: topic.suffix)
    ]
    return (
        _table(("topic", "key", "written by", "read by", "kept for"), names)
        + "\n"
        + _table(("topic", *(f"`{name}`" for name in CONFIGS)), configs)
    )


CONFIGS = ("cleanup.policy", "retention.ms", "max.message.bytes", "min.compaction.lag.ms", "segment.ms")


def cli() -> str:
    """Give every command with its arguments and options."""
    group: Any = typer.main.get_command(app)
    return "\n".join(_commands(group, typer.Context(group, info_name="evb")))


def decisions() -> str:
    """Give the list of decision records with their status."""
    rows = []
    for page in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        text = page.read_text()
        title = text.partition("\n")[0].lstrip("# ").strip()
        status = re.search(r"\*\*Status:?\*\*:? *(.+)|## Status\s+(.+)|^[-* ]*Status: *(.+)", text, re.MULTILINE)
        rows.append((f"[{title}]({page.name})", next(filter(None, status.groups())) if status else "?"))
    return _table(("decision", "status"), rows)


def errors() -> str:
    """Give every problem that an answer may name, by status; each has an anchor of its code."""
    rows = [
        (f'<a id="{error.code}"></a>`{error.code}`', str(error.status), error.title, meaning) for error, meaning in by_status()
    ]
    return _table(("code", "status", "title", "meaning"), rows)


def metrics() -> str:
    """Give every metric with its labels."""
    rows = [(f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels) or "–", m.said) for m in described()]
    return _table(("metric", "kind", "labels", "meaning"), rows)


GENERATORS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "ambient": ambient,
    "topics": topics,
    "cli": cli,
    "decisions": decisions,
    "errors": errors,
    "metrics": metrics,
}


def rendered(page: Path) -> str:
    """Give a page's text with its generated blocks as they should be."""
    return BLOCK.sub(lambda m: f"{m[1]}\n{GENERATORS[m[2]]()}\n{m[3]}", page.read_text())


def pages() -> list[Path]:
    """Give the pages that have generated blocks."""
    return [page for page in sorted(DOCS.rglob("*.md")) if BLOCK.search(page.read_text())]


def files() -> dict[Path, str]:
    """Give the files that are generated as a whole."""
    return {DOCS / "reference" / "workflow.schema.json": schema.text()}


def main(arguments: Sequence[str]) -> int:
    """Rewrite the stale pages, or with `--check` name them; gives the exit code."""
    wanted = {page: rendered(page) for page in pages()} | files()
    stale = [(page, text) for page, text in wanted.items() if not page.exists() or text != page.read_text()]
    for page, text in stale:
        if "--check" not in arguments:
            page.write_text(text)
        sys.stdout.write(f"{page.relative_to(DOCS.parent)}: {'stale' if '--check' in arguments else 'written'}\n")
    return 1 if stale and "--check" in arguments else 0


def _commands(group: Any, context: typer.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, parent=context, info_name=name)
        yield from _commands(command, inner) if isinstance(command, TyperGroup) else _command(command, inner)


def _command(command: Any, context: typer.Context) -> Iterator[str]:
    parameters = [p for p in command.params if not getattr(p, "hidden", False)]
    arguments = [p for p in parameters if isinstance(p, TyperArgument)]
    options = [p for p in parameters if isinstance(p, TyperOption)]
    usage = [context.command_path, *(f"{p.name}".upper() for p in arguments), *(["[OPTIONS]"] if options else [])]
    yield f"### `{context.command_path}`\n"
    yield f"{_text(command.help)}\n\n```\n{' '.join(usage)}\n```\n"
    rows = [(f"`{p.name}`".upper(), _option(p, context)) for p in arguments]
    rows += [(f"`{', '.join((*p.opts, *p.secondary_opts))}`", _option(p, context)) for p in options]
    yield _table(("argument or option", "meaning"), rows)


def _option(option: TyperArgument | TyperOption, context: typer.Context) -> str:
    said = [_text(option.help)]
    kind = option.display_type(context).strip("<>[]")
    if "|" in kind:
        said.append("One of " + ", ".join(f"`{choice}`" for choice in kind.split("|")) + ".")
    if option.envvar:
        said.append(f"Also `{option.envvar}`.")
    if option.required:
        said.append("Required.")
    elif option.default not in (None, False, "", (), []) and not callable(option.default):
        said.append(f"Default `{getattr(option.default, 'value', option.default)}`.")
    return " ".join(part for part in said if part)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return f"`{value if isinstance(value, str) else json.dumps(value)}`" if value != "" else "empty"


SYMBOLS: tuple[tuple[type[Any], str, str], ...] = ((Ge, "ge", "≥"), (Gt, "gt", ">"), (Le, "le", "≤"), (Lt, "lt", "<"))


def _allowed(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if get_origin(kind) is not None:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    bounds = [f"{sign} {getattr(m, name)}" for m in field.metadata for cls, name, sign in SYMBOLS if isinstance(m, cls)]
    patterns = [f"`{pattern}`" for m in field.metadata if (pattern := getattr(m, "pattern", None))]
    name = {SecretStr: "text, secret", str: "text", int: "whole number", float: "number", bool: "true or false"}[kind]
    return " ".join([name, *patterns, ", ".join(bounds)]).strip()


def _retention(topic: Topic, plain: Settings) -> str:
    if topic.retention is None:
        return "ever (the newest per key)"
    return f"{getattr(plain, topic.retention)} h (`EVB_{topic.retention.upper()}`)"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _text(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
