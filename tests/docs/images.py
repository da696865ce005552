# SPDX-License-Identifier: Apache-2.0
"""Reads deploy/Dockerfile and docker-compose.yml, and runs what they say without Docker: only paths, hosts and ports differ."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def services() -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml, anchors resolved."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order: name and argument."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, argument) for name, _, argument in (line.partition(" ") for line in text.splitlines() if line.strip())]


@dataclass
class Image:
    """What a Dockerfile makes, under `root` instead of /."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    user: str = ""

    def here(self, text: str) -> str:
        """The text with the image's own directories where they are on this machine."""
        return re.sub(r"(?<![\w./])/(opt/evb|src)\b", lambda found: f"{self.root}/{found[1]}", text)

    def run(self, command: list[str], environ: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command as a container of this image would: the image's environment and the given one, and no more."""
        known = self.environ | environ
        options = {"capture_output": True, "text": True, "check": False, "timeout": 60} | options
        return subprocess.run([_found(command[0], known["PATH"]), *command[1:]], env=known, **options)


def build(root: Path) -> Image:
    """Follow the Dockerfile: copy what it copies from what .dockerignore lets through, run what it runs."""
    image, directory = Image(root, {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}), root
    for name, argument in instructions():
        match name:
            case "WORKDIR":
                directory = Path(image.here(argument))
                directory.mkdir(parents=True)
            case "COPY" if not argument.startswith("--from"):
                _copy(argument.split(), directory)
            case "RUN" if not argument.startswith("useradd"):
                _run(image.here(argument), directory)
            case "ENV":
                for word in shlex.split(argument):
                    variable, _, value = word.partition("=")
                    image.environ[variable] = image.here(value).replace("$PATH", image.environ["PATH"])
            case "USER":
                image.user = argument
            case "ENTRYPOINT":
                image.entrypoint = yaml.safe_load(argument)
            case "CMD":
                image.command = yaml.safe_load(argument)
    return image


def _copy(words: list[str], directory: Path) -> None:
    *sources, target = words
    for source in sources:
        assert _reaches_the_builder(source), f".dockerignore keeps {source} from the builder"
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, directory / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, directory / target)


def _reaches_the_builder(source: str) -> bool:
    kept = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and fnmatch(source, line.lstrip("!")):
            kept = line.startswith("!")
    return kept


def _run(command: str, directory: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    quicker = {"PIP_NO_COMPILE": "1"}  # Python compiles what the programs import: the same image, in half the time
    environ = os.environ | {"PATH": path} | quicker
    done = subprocess.run(["sh", "-c", command], cwd=directory, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def _found(program: str, path: str) -> str:
    found = shutil.which(program, path=path)
    assert found, f"{program} is not in the image"
    return found
