# SPDX-License-Identifier: Apache-2.0
"""A process's configuration: opened and checked once per change of the registry; what does not fit is a failure that says why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel, SecretStr

from bridge.credentials import Vault
from bridge.registry.options import opened, sealed
from bridge.sdk import Context, Process
from bridge.sdk.state import NO_STATE
from bridge.sdk.testing import event
from processors.attempts.contexts import Contexts
from processors.outcomes.verdicts import Failure


class Options(BaseModel):
    password: SecretStr
    retries: int = 3


class Keeper(Process[Options]):
    name, version, events, Config = "keeper", "1.0.0", ("*",), Options


class Registry:
    """The part of the registry's view that is asked; `asked` counts."""

    def __init__(self, config: dict[str, Any], vault: Vault) -> None:
        self.config, self.vault, self.generation, self.asked = config, vault, 1, 0

    def options_of(self, tenant: str, process: str) -> dict[str, Any]:
        assert (tenant, process) == ("test", "keeper")
        self.asked += 1
        return opened(self.config, self.vault.open)


VAULT, OTHER = (Vault(Fernet.generate_key().decode()) for _ in range(2))


def made(registry: Registry, times: int = 1) -> Context[Any] | Failure:
    contexts = Contexts(registry, None)  # type: ignore[arg-type]
    given = SimpleNamespace(event=event("any"))
    attempt: Any = SimpleNamespace(
        process=Keeper(), given=given, execution_id="an-execution", number=1, state=NO_STATE, journeys=None
    )
    return [contexts.make(attempt) for _ in range(times)][-1]


def test_a_secret_is_opened_once_for_the_process() -> None:
    registry = Registry(sealed({"password": "hunter2"}, Options, VAULT), VAULT)
    context = made(registry, 3)
    assert isinstance(context, Context)
    assert context.config.password.get_secret_value() == "hunter2"
    assert registry.asked == 1


@pytest.mark.parametrize(
    ("config", "vault", "reason"),
    [
        (
            sealed({"password": "hunter2"}, Options, VAULT),
            OTHER,
            "the secret password cannot be opened",
        ),
        (sealed({"password": "hunter2", "retries": "many"}, Options, VAULT), VAULT, "retries: Input should be a valid integer"),
        ({}, VAULT, "password: Field required"),
    ],
)
def test_what_does_not_fit_is_a_failure_and_shows_no_secret(config: dict[str, Any], vault: Vault, reason: str) -> None:
    failure = made(Registry(config, vault))
    assert isinstance(failure, Failure)
    assert failure.code == "invalid-config"
    assert reason in failure.reason
    assert "hunter2" not in failure.reason
