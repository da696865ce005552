# SPDX-License-Identifier: Apache-2.0
"""
What a worker is running now, in a file that outlives it: so its next life knows which executions may have ended the last one.

The file is mapped into memory: a note costs a few microseconds, and the kernel keeps what a killed process has written. One slot
is an execution id, the time of its note, how many lives have ended while it ran, and whether it runs now. Behind the slots lies
what a life whose interpreter was held left at its end: its stacks, written by a signal (`processors.watch.turning`).
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Final

from bridge import logs
from bridge.domain.moments import iso
from bridge.settings import Settings

SLOTS: Final = 8192  # what a worker holds at once, and what suspects leave behind whose executions have ended elsewhere
SLOT: Final = 24
SIZE: Final = SLOTS * SLOT
KEPT_S: Final = 86_400.0
"""A note that is older is dropped: its execution has ended elsewhere. Longer than any wait for another attempt."""

_EMPTY: Final = bytes(SLOT)
_TIME, _LIVES, _RUNS = slice(16, 22), 22, 23

LOG = logs.get("processors.journal")


class Journal:
    """
    `suspects` ran when earlier lives ended without a word, and have not ended since: execution id -> how many lives.

    `stacks` is what the last life's signal wrote; this life's one would write them to `stacks_to`, a descriptor.
    """

    def __init__(self, path: Path) -> None:
        """Raises: OSError where the file cannot be used, or another process holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _fill(descriptor, SIZE)
            self._map = mmap.mmap(descriptor, SIZE)
            self.stacks = os.pread(descriptor, os.fstat(descriptor).st_size - SIZE, SIZE).decode(errors="replace")
            os.lseek(descriptor, 0, os.SEEK_END)
        except BaseException:
            os.close(descriptor)
            raise
        self.stacks_to = descriptor  # held open: it is the lock, too
        self._slot_of: dict[str, int] = {}
        self._free: list[int] = []
        self.suspects: dict[str, int] = {}
        self._load()

    def _load(self) -> None:
        oldest = time.time() - KEPT_S
        for slot in range(SLOTS):
            at = slot * SLOT
            raw = self._map[at : at + SLOT]
            if raw != _EMPTY and int.from_bytes(raw[_TIME], "big") >= oldest:
                execution_id, lives = str(uuid.UUID(bytes=raw[:16])), min(raw[_LIVES] + raw[_RUNS], 255)
                self._map[at + _LIVES], self._map[at + _RUNS] = lives, 0
                self._slot_of[execution_id], self.suspects[execution_id] = slot, lives
            else:
                self._map[at : at + SLOT] = _EMPTY
                self._free.append(slot)

    def story(self, execution_id: str) -> str:
        """Tell what a suspect is suspected of."""
        at = self._slot_of[execution_id] * SLOT
        first_s = int.from_bytes(self._map[at : at + SLOT][_TIME], "big")
        lives, first = self.suspects[execution_id], iso(first_s * 1000)
        return f"{lives} lives of the worker ended while it ran, which it first did at {first}"

    def begin(self, execution_id: str) -> None:
        """Note that an execution runs now."""
        slot = self._slot_of.get(execution_id)
        if slot is not None:
            self._map[slot * SLOT + _RUNS] = 1
        elif self._free:
            slot = self._slot_of[execution_id] = self._free.pop()
            note = bytes.fromhex(execution_id.replace("-", "")) + int(time.time()).to_bytes(6, "big") + b"\0\1"
            self._map[slot * SLOT : (slot + 1) * SLOT] = note

    def end(self, execution_id: str) -> None:
        """Note that it does not run any more."""
        slot = self._slot_of.pop(execution_id, None)
        if slot is not None:
            self._map[slot * SLOT : (slot + 1) * SLOT] = _EMPTY
            self._free.append(slot)
            self.suspects.pop(execution_id, None)

    def runs(self, execution_id: str) -> bool:
        """Say whether it runs here, where it could end this life."""
        slot = self._slot_of.get(execution_id)
        return slot is not None and bool(self._map[slot * SLOT + _RUNS])

    def keep(self, execution_id: str) -> None:
        """Note that a suspect does not run any more, and stays one."""
        slot = self._slot_of.get(execution_id)
        if slot is not None:
            self._map[slot * SLOT + _RUNS] = 0

    def forget_stacks(self) -> None:
        """Drop what the last life's signal wrote: it is told."""
        os.ftruncate(self.stacks_to, SIZE)
        os.lseek(self.stacks_to, SIZE, os.SEEK_SET)

    def clear(self) -> None:
        """Suspect nobody for what runs now: the worker leaves of its own accord. Older suspects stay what they are."""
        for execution_id in list(self._slot_of):
            (self.keep if execution_id in self.suspects else self.end)(execution_id)


class NoJournal(Journal):
    """Notes nothing, where there is no file to note it in."""

    def __init__(self) -> None:
        self.suspects, self.stacks, self.stacks_to = {}, "", sys.stderr.fileno()

    def begin(self, execution_id: str) -> None:
        """Note nothing."""

    def end(self, execution_id: str) -> None:
        """Note nothing."""

    def runs(self, execution_id: str) -> bool:  # noqa: ARG002  nothing is noted
        """Nothing is noted."""
        return False

    def keep(self, execution_id: str) -> None:
        """Nobody is a suspect."""

    def clear(self) -> None:
        """Nothing is noted."""


def _fill(descriptor: int, size: int) -> None:
    """
    Make a file as large as it has to be, with blocks of its own: where a disk is full, a mapped hole would kill the worker.

    Raises: OSError.
    """
    had = os.fstat(descriptor).st_size
    if had < size and os.pwrite(descriptor, bytes(size - had), had) < size - had:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def open_journal(settings: Settings) -> Journal:
    """Open the journal of this worker's slot; where that is not possible, say so and go on without one."""
    name = "-".join(filter(None, (settings.topic_prefix, settings.worker_lane, settings.worker_slot)))
    try:
        journal = Journal(_directory(settings) / f"{name}.journal")
    except OSError as err:
        LOG.warning("No journal: an event that ends the worker will not be recognised; set EVB_JOURNAL_DIR", error=str(err))
        return NoJournal()
    if journal.suspects:
        why = "An earlier life of this worker ended while executions ran; what did so twice runs apart now"
        LOG.warning(why, executions=len(journal.suspects), most_lives=max(journal.suspects.values()))
    return journal


def _directory(settings: Settings) -> Path:
    """Give the directory; the default one is ours alone, because the system's temporary one is everybody's."""
    if settings.journal_dir:
        directory = Path(settings.journal_dir)
        directory.mkdir(parents=True, exist_ok=True)
        return directory
    directory = Path(tempfile.gettempdir()) / f"event-bridge-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{directory} is not a directory of this user alone")
    return directory
