# SPDX-License-Identifier: Apache-2.0
"""What a process is given beside the event: its tenant's configuration, a logger and the shared HTTP client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from bridge import logs
from bridge.registry.view import View
from bridge.sdk import Context
from bridge.sdk.process import AnyProcess
from processors.outcomes.verdicts import Failure, said

if TYPE_CHECKING:
    import aiohttp

    from processors.attempts.attempt import Attempt


class Contexts:
    """Makes contexts; a tenant's configuration is validated once per change of the registry."""

    def __init__(self, registry: View, http: aiohttp.ClientSession) -> None:
        self._registry, self._http = registry, http
        self._configs: dict[tuple[str, str], BaseModel | Failure] = {}
        self._generation = -1

    def make(self, attempt: Attempt) -> Context[Any] | Failure:
        """Give the context of one attempt, or the failure `invalid-config` where the tenant's configuration does not fit."""
        process, event, execution_id = attempt.process, attempt.given.event, attempt.execution_id
        config = self._config(process, event.tenant)
        if isinstance(config, Failure):
            return config
        correlation = event.correlation_id or event.key
        log = logs.of_execution(process.name, event, execution_id)
        number, state, journeys = attempt.number, attempt.state, attempt.journeys
        return Context(event.tenant, correlation, execution_id, number, config, log, self._http, state, journeys)

    def _config(self, process: AnyProcess, tenant: str) -> BaseModel | Failure:
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._configs.clear()
        key = tenant, process.name
        found = self._configs.get(key)
        if found is None:
            try:
                found = process.Config.model_validate(self._registry.options_of(tenant, process.name))
            except ValidationError as err:
                faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors(include_input=False))
                found = _unfit(tenant, faults)
            except Exception as err:  # noqa: BLE001  the edge: a plugin's own validators run here
                found = _unfit(tenant, said(err))
            self._configs[key] = found
        return found


def _unfit(tenant: str, faults: str) -> Failure:
    return Failure("invalid-config", f"the configuration of tenant {tenant} does not fit: {faults}")
