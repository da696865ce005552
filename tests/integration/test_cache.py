# SPDX-License-Identifier: Apache-2.0
"""The cache of jars and of the JDK repairs itself. The jars come from a repository of the test's own, not from the network."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from bridge.domain.errors import Misconfigured
from bridge.stack import aot, jars
from bridge.stack.cache import cache_dir, sha256_of
from bridge.stack.java import cache_key
from bridge.stack.prepare import prepare


class Repository:
    """Serves the pinned jars in Maven's layout and counts how often each is asked for; `spoil` changes what is sent."""

    def __init__(self) -> None:
        prepare(Console(stderr=True))
        home = cache_dir() / f"kafka-{jars.KAFKA_VERSION}"
        self.files = {
            f"/{jar.group.replace('.', '/')}/{jar.artifact}/{jar.version}/{jar.file_name}": home / jar.file_name
            for jar in jars.pinned()
        }
        self.asked: Counter[str] = Counter()
        self.spoiled: dict[str, list[bytes]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def spoil(self, name: str, *answers: bytes) -> None:
        self.spoiled[name] = list(answers)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = repository.files.get(self.path)
                if path is None:
                    self.send_error(404)
                    return
                repository.asked[path.name] += 1
                answers = repository.spoiled.get(path.name)
                body = answers.pop(0) if answers else path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    serving = Repository()
    monkeypatch.setenv("EVB_MAVEN_REPOSITORY", serving.url)
    thread = threading.Thread(target=serving.server.serve_forever)
    thread.start()
    yield serving
    serving.server.shutdown()
    serving.server.server_close()
    thread.join()


@pytest.fixture
def linked(tmp_path: Path, repository: Repository) -> Path:
    """A directory with every jar, hard links where possible: a test replaces files and never writes into them."""
    return link(tmp_path / "jars", repository)


def link(directory: Path, repository: Repository) -> Path:
    directory.mkdir(parents=True)
    for path in repository.files.values():
        try:
            os.link(path, directory / path.name)
        except OSError:
            (directory / path.name).write_bytes(path.read_bytes())
    jars.provide(directory, quiet())
    assert not repository.asked
    return directory


def quiet() -> Console:
    return Console(file=io.StringIO())


def put(path: Path, content: bytes | bytearray) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def damage(path: Path) -> None:
    """Zero a block, as a failing disk does: size and time stay."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(len(content[middle : middle + 4096]))
    put(path, content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def right(directory: Path) -> bool:
    return all(sha256_of(directory / jar.file_name) == jar.sha256 for jar in jars.pinned())


def test_missing_cut_changed_and_damaged_jars_are_replaced(linked: Path, repository: Repository) -> None:
    missing, cut, changed, damaged, touched = (jar.file_name for jar in jars.pinned()[:5])
    (linked / missing).unlink()
    put(linked / cut, (linked / cut).read_bytes()[:-100])
    whole = (linked / changed).read_bytes()
    put(linked / changed, whole[:-1] + bytes([whole[-1] ^ 1]))
    damage(linked / damaged)
    put(linked / touched, (linked / touched).read_bytes())  # another time, the same content: checked, not downloaded
    assert jars.whole(linked) is None

    class_path = jars.provide(linked, quiet())

    assert [path.name for path in class_path] == [jar.file_name for jar in jars.pinned()]
    assert right(linked)
    assert repository.asked == {missing: 1, cut: 1, changed: 1, damaged: 1}
    assert jars.whole(linked) == class_path


@pytest.mark.parametrize("place", [f"kafka-{jars.KAFKA_VERSION}", "."])
def test_a_file_in_the_place_of_a_directory_is_said_with_the_cure(tmp_path: Path, place: str) -> None:
    cache = tmp_path / "cache"
    (cache / place).parent.mkdir(exist_ok=True)
    (cache / place).write_text("not a directory")
    with pytest.raises(Misconfigured, match=rf"The cache {cache} cannot be used: .*{cache}.* EVB_CACHE"):
        prepare(quiet(), cache=cache)
    assert (cache / place).read_text() == "not a directory"


def test_a_download_that_breaks_is_repeated(linked: Path, repository: Repository) -> None:
    jar = jars.pinned()[0]
    (linked / jar.file_name).unlink()
    repository.spoil(jar.file_name, b"half", b"")
    jars.provide(linked, quiet())
    assert right(linked)
    assert repository.asked == {jar.file_name: 3}


def test_a_jar_with_another_checksum_never_gets_in(linked: Path, repository: Repository) -> None:
    jar = jars.pinned()[0]
    (linked / jar.file_name).unlink()
    repository.spoil(jar.file_name, *([b"x" * jar.size] * 10))
    with pytest.raises(Misconfigured, match=rf"{jar.artifact}:{jar.version} could not be downloaded: it is not the file whose"):
        jars.provide(linked, quiet())
    assert not (linked / jar.file_name).exists()
    assert not list(linked.glob(".download-*"))


def test_a_jar_that_is_nowhere_is_said_with_the_cure(linked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (linked / jars.pinned()[0].file_name).unlink()
    monkeypatch.setenv("EVB_MAVEN_REPOSITORY", "http://127.0.0.1:9/none")
    with pytest.raises(Misconfigured, match="Check the network and EVB_MAVEN_REPOSITORY"):
        jars.provide(linked, quiet())


PREPARE = "from rich.console import Console; from bridge.stack.prepare import prepare; print(prepare(Console(stderr=True)).cache)"
NO_JAVA = 'ulimit -v 1500000 2>/dev/null; exec "$0" "$@"'
"""Memory for Python and not for Java. macOS knows no such limit: there the JDK's cache is made, and the test takes longer."""


def prepare_twice(cache: Path, *before: str) -> list[tuple[str, str]]:
    """Prepare in two processes at once; gives what each wrote to stdout and stderr."""
    command = [*before, sys.executable, "-c", PREPARE]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=os.environ | {"EVB_CACHE": str(cache)}, **pipes) for _ in range(2)]
    said = [process.communicate(timeout=150) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    return said


@pytest.mark.timeout(180)
def test_two_processes_fill_one_cache_and_a_training_that_fails_only_costs_speed(tmp_path: Path, repository: Repository) -> None:
    said = prepare_twice(tmp_path, "sh", "-c", NO_JAVA)
    assert right(tmp_path / f"kafka-{jars.KAFKA_VERSION}")
    assert set(repository.asked.values()) == {1}
    if sys.platform == "linux":
        assert [out.strip() for out, _ in said] == ["None", "None"]
        assert all("Kafka will start more slowly" in err for _, err in said)
    assert not list((tmp_path / "aot").glob(".train-*"))


@pytest.mark.timeout(180)
def test_a_damaged_jdk_cache_is_made_anew_by_one_of_two_processes(tmp_path: Path, repository: Repository) -> None:
    class_path = jars.whole(link(tmp_path / f"kafka-{jars.KAFKA_VERSION}", repository))
    whole = prepare(quiet()).cache
    assert class_path
    assert whole
    trained = tmp_path / "aot" / f"kafka-{cache_key(class_path)}.aot"
    trained.parent.mkdir()
    trained.write_bytes(whole.read_bytes())
    assert aot.find(trained.parent, class_path) is None, "nobody knows its checksum"
    trained.with_suffix(".sha256").write_bytes(whole.with_suffix(".sha256").read_bytes())
    assert aot.find(trained.parent, class_path) == trained
    damage(trained)
    assert aot.find(trained.parent, class_path) is None

    said = prepare_twice(tmp_path)
    assert [out.strip() for out, _ in said] == [str(trained)] * 2
    assert sum("Preparing Kafka for quick starts" in err for _, err in said) == 1
    assert trained.stat().st_size > 0.75 * whole.stat().st_size
    assert aot.find(trained.parent, class_path) == trained
    assert not list(trained.parent.glob(".train-*"))
