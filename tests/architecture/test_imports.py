# SPDX-License-Identifier: Apache-2.0
"""The import rules that import-linter cannot say, and the proof that its own rules can fail."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported(file: Path) -> set[str]:
    """The modules that a file imports, by their full names."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_domain_needs_the_standard_library_only() -> None:
    files = sorted((ROOT / "bridge" / "domain").glob("**/*.py"))
    assert files
    foreign = {
        (file.name, name)
        for file in files
        for name in imported(file)
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith("bridge.domain")
    }
    assert not foreign


def test_what_the_example_plugin_imports_of_ours_is_the_sdk() -> None:
    names = {name for file in (ROOT / "examples").glob("*/src/**/*.py") for name in imported(file)}
    ours = {name for name in names if name.partition(".")[0] in ("bridge", "web", "processors", "plugins")}
    assert ours
    assert not [name for name in ours if not f"{name}.".startswith("bridge.sdk.")]


PLANTED = {
    "rings": ("bridge/topics.py", "from bridge.intake import accept"),
    "worker": ("processors/stream/window.py", "import processors.attempts.router"),
    "doors": ("processors/attempts/router.py", "import web.app"),
    "outermost": ("bridge/intake/accept.py", "import web.call"),
    "kernel": ("bridge/intake/accept.py", "import flask"),
    "no-upwards": ("web/app.py", "import bridge.cli.output"),
    "plugins": ("plugins/record.py", "import bridge.topics"),
    "dialects": ("web/dialects/fx/routes.py", "import web.dialects.cloudevents.routes"),
}


@pytest.mark.parametrize("contract", PLANTED)
def test_each_import_rule_can_fail(contract: str, tmp_path: Path) -> None:
    for package in ("bridge", "web", "processors", "plugins"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file, line = PLANTED[contract]
    with (tmp_path / file).open("a") as text:
        text.write(f"\n{line}\n")
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache", "--contract", contract]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
