# SPDX-License-Identifier: Apache-2.0
"""Plugins are found by entry point; every fault of every plugin is reported at once, with whose it is and the cure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.domain.errors import Misconfigured, NotFound
from bridge.hosting.find import find_processes
from bridge.registry.announcing import announced

Install = Callable[..., None]

HEAD = """
from pydantic import BaseModel
from bridge.sdk import Completed, Process, hookimpl
"""
SOUND = """
class {cls}(Process):
    name, version, events = "{name}", "1.0.0", ("order.*",)
    async def run(self, event, context):
        return Completed()

@hookimpl
def bridge_processes():
    return [{cls}()]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution as pip would leave it: a module, and metadata with an entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(distribution: str, body: str, *, value: str = "", head: str = HEAD) -> None:
        module = distribution.replace("-", "_") + "_" + tmp_path.name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(head + textwrap.dedent(body))
        info = tmp_path / f"{distribution.replace('-', '_')}-2.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.1\n")
        (info / "entry_points.txt").write_text(f"[event_bridge.plugins]\nmain = {value or module}\n")

    return install


def faults() -> str:
    with pytest.raises(Misconfigured) as caught:
        find_processes()
    return "\n".join(caught.value.faults)


def process(body: str) -> str:
    """A plugin whose one process has this class body and, unless it brings its own, a sound run()."""
    run = "" if "run" in body else "    async def run(self, event, context): return Completed()\n"
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return f"class P(Process):\n{lines}\n{run}\n@hookimpl\ndef bridge_processes(): return [P()]\n"


def test_the_shipped_process_is_found_by_entry_point() -> None:
    record = find_processes().named("record")
    assert (record.origin.distribution, record.patterns) == ("event-bridge", ("*",))


def test_an_installed_package_contributes_its_processes(install: Install) -> None:
    install("crm-sync", SOUND.format(cls="Crm", name="crm"))
    plugins = find_processes()
    assert str(plugins.named("crm").origin) == "crm-sync 2.1 (entry point 'main')"
    assert plugins.patterns["crm"] == ("order.*",)
    assert [p.name for p in plugins.processes] == sorted(p.name for p in plugins.processes)


def test_the_config_schema_names_what_an_operator_may_set(install: Install) -> None:
    install("crm", process('name, version, events = "crm", "1", ("a",)\nclass Config(BaseModel):\n    url: str'))
    assert find_processes().named("crm").config_schema["required"] == ["url"]


def test_an_unknown_name_is_not_found_and_says_what_there_is() -> None:
    with pytest.raises(NotFound, match="record"):
        find_processes().named("nothing")


def test_two_distributions_with_one_process_name_are_both_named(install: Install) -> None:
    install("one", SOUND.format(cls="A", name="same"))
    install("two", SOUND.format(cls="B", name="same"))
    said = faults()
    assert "'same'" in said
    assert "one 2.1" in said
    assert "two 2.1" in said


def test_all_faults_of_all_plugins_come_together(install: Install) -> None:
    install("broken-import", "import nothing_of_this_name_exists")
    install("leaves", "raise SystemExit(3)")
    install("misspelt", "@hookimpl\ndef bridge_proceses(): return []\n@hookimpl\ndef bridge_other(): return []")
    install("both", "@hookimpl\ndef a_hook(): return []\n@hookimpl\ndef bridge_processes(settings): return []")
    install("unmarked", "def bridge_processes(): return []")
    install("parameter", "@hookimpl\ndef bridge_processes(settings): return []")
    install("raises", "@hookimpl\ndef bridge_processes(): raise RuntimeError('no licence key')")
    install("coroutine", "@hookimpl\nasync def bridge_processes(): return []")
    install("several", process('name, version, events = "Bad Name", "", "a.b"\ntimeout_s = 60\nConfig = dict\nrun = None'))
    said = faults()
    for distribution, words in {
        "broken-import": "No module named 'nothing_of_this_name_exists'",
        "leaves": "SystemExit: 3",
        "misspelt": "there is no hook 'bridge_other'; there is no hook 'bridge_proceses'; the hook is bridge_processes()",
        "both": "there is no hook 'a_hook'; a hook does not fit: PluginValidationError",
        "unmarked": "decorate the function with @hookimpl",
        "parameter": "settings",
        "raises": "no licence key",
        "coroutine": "it must be a plain function",
        "several": "name is 'Bad Name'",
    }.items():
        assert any(f"{distribution} 2.1" in line and words in line for line in said.splitlines()), (distribution, said)
    of_several = [line for line in said.splitlines() if line.startswith("several")]
    assert len(of_several) == 6, of_several  # name, version, events, timeout_s, Config and run: nothing hides behind another


NAMED = 'name, version = "p", "1"'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("version, events = '1', ('a',)", "name is None"),
        ("name, version, events = 'a--b', '1', ('a',)", "name is 'a--b'"),
        (f"name, version, events = {'x' * 61!r}, '1', ('a',)", "at most 60"),
        ("name, events = 'p', ('a',)", "version is None"),
        (f"{NAMED}", "events is None"),
        (f"{NAMED}; events = ()", "at least one pattern"),
        (f"{NAMED}; events = 'user.created'", "events = ('user.created',)"),
        (f"{NAMED}; events = ('a..b',)", "'a..b' is not a dotted pattern"),
        (f"{NAMED}; events = (7,)", "every pattern is a text"),
        (f"{NAMED}; events = ('a',); timeout_s = 5.01", "at most 5"),
        (f"{NAMED}; events = ('a',); timeout_s = 0", "above 0"),
        (f"{NAMED}; events = ('a',); timeout_s = True", "timeout_s is True"),
        (f"{NAMED}; events = ('a',); timeout_s = float('nan')", "timeout_s is nan"),
        (f"{NAMED}; events = ('a',); isolation = 'thread'", "give 'loop' or 'process'"),
        (f"{NAMED}; events = ('a',); default_enabled = 'no'", "default_enabled is 'no'"),
        (f"{NAMED}; events = ('a',); memory_mb = 8", "from 16 to 65536"),
        (f"{NAMED}; events = ('a',); memory_mb = '64'", "memory_mb is '64'"),
        (
            f"{NAMED}; events = ('a',); isolation = 'process'; run = None; __reduce__ = None",
            "define its class at the top of a module",
        ),
        (f"{NAMED}; events = ('a',); business_process = 1", "business_process is 1; it is True or False"),
        (f"{NAMED}; events = ('a',); business_process = True", "add 'eventingress.*.*.p' to events"),
        (f"{NAMED}; events = ('a',); title = ' Open'", "title is ' Open'"),
        (f"{NAMED}; events = ('a',); title = 'x' * 101", "at most 100 characters"),
        (f"{NAMED}; events = ('a',); Config = {{}}", "pydantic.BaseModel"),
        (f"{NAMED}; events = ('a',)\nclass Config(BaseModel):\n    f: type(lambda: 0)", "JSON Schema"),
        (f"{NAMED}; events = ('a',)\ndef run(self, event): return Completed()", "(self, event, context)"),
        (f"{NAMED}; events = ('a',)\ndef run(self, event, context, more): return Completed()", "cannot be called"),
        (f"{NAMED}; events = ('a',)\ndef run(self, event, context): yield Completed()", "generator"),
        (f"{NAMED}; events = ('a',)\nasync def run(self, event, context): yield Completed()", "generator"),
    ],
)
def test_each_rule_names_its_cure(install: Install, body: str, words: str) -> None:
    config = "    model_config = dict(arbitrary_types_allowed=True)\n" if "type(lambda" in body else ""
    install("faulty", process(body).replace("class Config(BaseModel):\n", f"class Config(BaseModel):\n    {config}"))
    assert words in faults()


def test_a_business_process_is_announced_with_the_name_that_people_see(install: Install) -> None:
    events = "('eventingress.*.*.open-account', 'eventingress.*.*.close-it')"
    sound = f'name, version, events, business_process = "{{}}", "1", {events}, True'
    install("opening", process(sound.format("open-account")))
    install("closing", process(sound.format("close-it") + '\ntitle = "Close an Account"'))
    found = {one.name: one for one in map(announced, find_processes().processes)}
    assert (found["open-account"].business_process, found["open-account"].title) == (True, "Open Account")
    assert found["close-it"].title == "Close an Account"
    assert (found["record"].business_process, found["record"].title) == (False, "")


def test_a_process_without_run_is_refused(install: Install) -> None:
    install(
        "lazy",
        'class P(Process):\n    name, version, events = "p", "1", ("a",)\n@hookimpl\ndef bridge_processes(): return [P()]',
    )
    assert "it has no run()" in faults()


@pytest.mark.parametrize("where", ["__main__", "nowhere"])
def test_a_process_that_a_child_cannot_import_is_refused(install: Install, where: str) -> None:
    install("hidden", process(f'name, version, events, isolation = "p", "1", ("a",), "process"\n__module__ = {where!r}'))
    assert "it cannot be handed to a child process" in faults()


@pytest.mark.parametrize(("returned", "words"), [("[P]", "return an instance: [P()]"), ("['text']", "subclasses of bridge.sdk")])
def test_only_instances_of_processes_are_taken(install: Install, returned: str, words: str) -> None:
    install("odd", f"class P(Process): pass\n@hookimpl\ndef bridge_processes(): return {returned}")
    assert words in faults()


@pytest.mark.parametrize("run", ["def run(self, event, context)", "async def run(self, event, context, *, trace=None)"])
def test_plain_and_async_runs_are_sound(install: Install, run: str) -> None:
    install("sound", process(f'name, version, events = "sound", "1", ("a",)\n{run}: return Completed()'))
    assert find_processes().named("sound")


def test_a_process_may_be_isolated(install: Install) -> None:
    install("apart", process('name, version, events, isolation, memory_mb = "apart", "1", ("a",), "process", 512'))
    assert find_processes().named("apart").process.isolation == "process"
