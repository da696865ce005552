# SPDX-License-Identifier: Apache-2.0
"""What ran when a life ended is what its next life suspects; whatever has ended, or is too old, is not."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from bridge.settings import Settings
from processors.calls import journal as module
from processors.calls.journal import SLOTS, Journal, NoJournal, open_journal

CHILD = """
import os, sys
from pathlib import Path
from processors.calls.journal import Journal
journal = Journal(Path(sys.argv[1]))
for name in sys.argv[2:4]:
    journal.begin(name)
journal.end(sys.argv[3])
os._exit(9)
"""


def name() -> str:
    return str(uuid.uuid4())


def test_a_process_that_dies_leaves_what_it_was_running(tmp_path: Path) -> None:
    ran, ended = name(), name()
    died = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "j"), ran, ended], check=False)
    assert died.returncode == 9
    journal = Journal(tmp_path / "j")
    assert journal.suspects == {ran: 1}
    journal.begin(ran)
    journal.end(ran)
    assert journal.suspects == {}


def test_only_a_life_in_which_it_ran_counts(tmp_path: Path) -> None:
    ran = name()
    _life(tmp_path, lambda one: one.begin(ran))
    assert _life(tmp_path, lambda _: None) == {ran: 1}
    assert _life(tmp_path, lambda one: one.begin(ran)) == {ran: 1}, "it waited for its turn in the last life"
    assert _life(tmp_path, lambda one: (one.begin(ran), one.clear())) == {ran: 2}
    assert _life(tmp_path, lambda _: None) == {ran: 2}


def test_whoever_leaves_of_its_own_accord_suspects_nobody_new(tmp_path: Path) -> None:
    old, new = name(), name()
    _life(tmp_path, lambda one: one.begin(old))
    _life(tmp_path, lambda one: (one.begin(new), one.clear()))
    assert _life(tmp_path, lambda _: None) == {old: 1}


def test_a_suspect_that_is_kept_stays_one_without_another_life(tmp_path: Path) -> None:
    ran, seen = name(), list[bool]()

    def live(one: Journal) -> None:
        seen.append(one.runs(ran))
        one.begin(ran)
        seen.append(one.runs(ran))
        one.keep(ran)
        seen.append(one.runs(ran))

    for _ in range(2):
        _life(tmp_path, lambda one: one.begin(ran))
    assert _life(tmp_path, live) == {ran: 2}
    assert seen == [False, True, False]
    assert _life(tmp_path, lambda _: None) == {ran: 2}


def test_what_a_signal_has_written_is_the_next_lifes_to_say_once(tmp_path: Path) -> None:
    held = """
import faulthandler, os, signal, sys
from pathlib import Path
from processors.calls.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.begin(sys.argv[2])
faulthandler.register(signal.SIGPROF, file=journal.stacks_to, chain=True)
os.kill(os.getpid(), signal.SIGPROF)
"""
    ran = name()
    died = subprocess.run([sys.executable, "-c", held, str(tmp_path / "j"), ran], check=False)
    assert died.returncode == -signal.SIGPROF
    said = list[str]()
    assert _life(tmp_path, lambda one: said.append(one.stacks)) == {ran: 1}
    assert said[0].startswith("Current thread 0x")
    _life(tmp_path, lambda one: (said.append(one.stacks), one.forget_stacks()))
    _life(tmp_path, lambda one: said.append(one.stacks))
    assert said[1:] == [said[0], ""], "until it is told"


def test_old_notes_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _life(tmp_path, lambda one: one.begin(name()))
    monkeypatch.setattr(module, "KEPT_S", -10)
    assert _life(tmp_path, lambda _: None) == {}


def test_more_than_there_are_slots_is_no_fault(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    names = [name() for _ in range(SLOTS + 10)]
    for one in names:
        journal.begin(one)
    for one in names:
        journal.end(one)
    journal.begin(names[0])


def test_two_processes_cannot_share_it(tmp_path: Path) -> None:
    settings = Settings(journal_dir=str(tmp_path / "new" / "directory"))
    first = open_journal(settings)
    assert not isinstance(first, NoJournal)
    assert isinstance(open_journal(settings), NoJournal)


@pytest.mark.parametrize("room", [0, 10])
def test_without_room_on_its_disk_a_worker_goes_on_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """A file with a hole would do, until the worker writes there."""
    settings, pwrite = Settings(journal_dir=str(tmp_path)), os.pwrite

    def full(file: int, data: bytes, at: int) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(file, data[:room], at)

    monkeypatch.setattr(os, "pwrite", full)
    assert isinstance(open_journal(settings), NoJournal)
    monkeypatch.undo()
    assert not isinstance(open_journal(settings), NoJournal), "now there is room"


def test_the_default_directory_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    directory = tmp_path / f"event-bridge-{os.getuid()}"
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    assert isinstance(open_journal(Settings()), NoJournal), "anybody could write what we suspect"
    directory.chmod(0o700)
    assert not isinstance(open_journal(Settings()), NoJournal)


def _life(directory: Path, live: object) -> dict[str, int]:
    """One life of a journal in this process; gives whom it suspected at its beginning."""
    journal = Journal(directory / "j")
    suspects = dict(journal.suspects)
    live(journal)  # type: ignore[operator]
    journal._map.close()
    os.close(journal.stacks_to)
    return suspects
