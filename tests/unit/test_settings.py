# SPDX-License-Identifier: Apache-2.0
"""Settings come from the environment that is given, every fault is named at once, and a misspelt name is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.domain.errors import Misconfigured
from bridge.settings import AMBIENT, Settings, load, variables


def faults(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(Misconfigured) as caught:
        load(environ)
    return caught.value.faults


def test_every_setting_is_read_from_its_variable() -> None:
    settings = load({"EVB_PORT": "9", "EVB_KAFKA__BOOTSTRAP_SERVERS": "b:1", "EVB_REDIS__TIMEOUT_MS": "70", "PORT": "7"})
    assert (settings.port, settings.kafka.bootstrap_servers, settings.redis.timeout_ms) == (9, "b:1", 70)
    assert settings.kafka.linger_ms == Settings().kafka.linger_ms


def test_without_an_argument_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVB_PORT", "12")
    before = dict(os.environ)
    assert load().port == 12
    assert Settings().port == 8080, "only load() reads the environment"
    assert dict(os.environ) == before


def test_values_given_in_code_win_and_leave_their_neighbours_alone() -> None:
    environ = {"EVB_PORT": "9", "EVB_KAFKA__BOOTSTRAP_SERVERS": "b:1", "EVB_KAFKA__LINGER_MS": "7"}
    settings = load(environ, port=10, kafka={"linger_ms": 3})
    assert (settings.port, settings.kafka.bootstrap_servers, settings.kafka.linger_ms) == (10, "b:1", 3)


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    said = faults(
        {
            "EVB_PORT": "70000",
            "EVB_KAFKA__SECURITY_PROTOCOL": "TLS",
            "EVB_KAFKA__BOOTSTRAP_SERVER": "b:1",
            "EVB_WEB_WORKER": "2",
            "EVB_SECRET_KEYS_FILE": str(tmp_path / "absent"),
        }
    )
    text = "\n".join(said)
    assert len(said) == 5
    assert "EVB_PORT: " in text
    assert "EVB_KAFKA__SECURITY_PROTOCOL: " in text
    assert "did you mean EVB_KAFKA__BOOTSTRAP_SERVERS?" in text
    assert "did you mean EVB_WEB_WORKERS?" in text
    assert "EVB_SECRET_KEYS_FILE: cannot read" in text


@pytest.mark.parametrize("name", sorted(AMBIENT))
def test_variables_of_the_program_are_no_settings(name: str) -> None:
    assert load({name: "x"}) == Settings()


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    settings = load({"EVB_KAFKA__SASL_PASSWORD_FILE": str(file)})
    assert settings.kafka.sasl_password.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)


def test_a_setting_that_is_a_path_stays_one() -> None:
    assert load({"EVB_KAFKA__SSL_CA_FILE": "/etc/ca.pem"}).kafka.ssl_ca_file == "/etc/ca.pem"


def test_a_value_and_its_file_contradict_each_other(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("5")
    assert "keep one of them" in faults({"EVB_PORT": "4", "EVB_PORT_FILE": str(tmp_path / "port")})[0]


def test_a_file_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    assert "it is not text" in faults({"EVB_SECRET_KEYS_FILE": str(tmp_path / "key")})[0]


def test_a_fault_never_shows_a_secret() -> None:
    text = "\n".join(faults({"EVB_REDIS__URL": "redis://:hunter2@h/0", "EVB_REDIS__TIMEOUT_MS": "1"}))
    assert "hunter2" not in text


def test_every_network_that_is_none_is_named() -> None:
    (fault,) = faults({"EVB_EGRESS_ALLOWED_NETWORKS": "10.0.0.1/8,loopback"})
    assert fault.startswith("EVB_EGRESS_ALLOWED_NETWORKS: ")
    assert "10.0.0.1/8" in fault
    assert "loopback" in fault


def test_every_variable_has_a_description() -> None:
    catalogue = variables()
    assert {"EVB_PORT", "EVB_KAFKA__SSL_CA_FILE", "EVB_REDIS__URL"} <= set(catalogue)
    assert all(field.description for field in catalogue.values())
