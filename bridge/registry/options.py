# SPDX-License-Identifier: Apache-2.0
"""
A process's options as the registry keeps them: what its Config calls secret is encrypted, each such member as a whole.

`bridge.registry.tenants` seals what an operator gives; the worker opens it for the process, and nobody shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from pydantic import BaseModel

from bridge.credentials import Vault
from bridge.domain.errors import InvalidValue

SEALED: Final = "$sealed"
MASK: Final = "**********"
SECRET: Final = b'"writeOnly":true'
"""What pydantic writes into the JSON Schema of a SecretStr."""

Options = dict[str, Any]


def sealed(options: Mapping[str, Any], model: type[BaseModel], vault: Vault) -> Options:
    """
    Encrypt the secret members of what an operator gives.

    Shape:  a member is secret where its schema has a secret anywhere in it, or cannot be known to have none.
    Raises: Misconfigured without a key to encrypt with, where there is a secret; InvalidValue for what is sealed already.
    """
    if given := [name for name, value in options.items() if _ciphertext(value) is not None]:
        raise InvalidValue(f"{', '.join(given)}: give the secret itself; {SEALED} is how it is kept.")
    schema = model.model_json_schema()
    known, any_secret = schema.get("properties", {}), SECRET in orjson.dumps(schema)

    def secret(name: str) -> bool:
        text = orjson.dumps(known.get(name, {"$ref": ""}))
        return any_secret and (SECRET in text or b'"$ref"' in text)

    return {
        name: {SEALED: vault.seal(orjson.dumps(value).decode())} if secret(name) and value is not None else value
        for name, value in options.items()
    }


def opened(options: Mapping[str, Any], decrypt: Callable[[str], bytes]) -> Options:
    """Give the options in the clear. Raises: ValueError where a member cannot be decrypted, naming it."""
    return {name: _open(name, value, decrypt) for name, value in options.items()}


def resealed(options: Mapping[str, Any], vault: Vault) -> Options | None:
    """Encrypt again under the first key; None where nothing is secret. Raises: Misconfigured without a key, Unopenable."""
    found = {name: _ciphertext(value) for name, value in options.items()}
    if not any(found.values()):
        return None
    return {**options, **{name: {SEALED: vault.reseal(text)} for name, text in found.items() if text is not None}}


def shown(options: Mapping[str, Any]) -> Options:
    """Give the options as people may see them."""
    return {name: MASK if _ciphertext(value) is not None else value for name, value in options.items()}


def _open(name: str, value: Any, decrypt: Callable[[str], bytes]) -> Any:
    text = _ciphertext(value)
    if text is None:
        return value
    try:
        return orjson.loads(decrypt(text))
    except ValueError as err:
        raise ValueError(f"the secret {name} cannot be opened: {err}") from err


def _ciphertext(value: Any) -> str | None:
    found = value.get(SEALED) if isinstance(value, dict) and len(value) == 1 else None
    return found if isinstance(found, str) else None
