# SPDX-License-Identifier: Apache-2.0
"""How every client of ours reaches Kafka, in librdkafka's names. All producers and consumers start from here."""

from __future__ import annotations

import logging
import ssl

from bridge.domain.errors import Misconfigured
from bridge.domain.limits import CONFIRM_S, RECORD_BYTES
from bridge.settings import Kafka, Settings

LOG = logging.getLogger("bridge.kafka")


def connection(settings: Settings) -> dict[str, object]:
    """
    Give the settings that reach and authenticate to the brokers.

    Raises: Misconfigured for missing credentials and for certificate files that cannot be used.
    """
    kafka = settings.kafka
    _check_credentials(kafka)
    config: dict[str, object] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": kafka.security_protocol,
        "client.id": "event-bridge",
        "logger": LOG,
    }
    if kafka.security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = kafka.sasl_mechanism
        config["sasl.username"] = kafka.sasl_username
        config["sasl.password"] = kafka.sasl_password.get_secret_value()
    for name, value in (
        ("ssl.ca.location", kafka.ssl_ca_file),
        ("ssl.certificate.location", kafka.ssl_certificate_file),
        ("ssl.key.location", kafka.ssl_key_file),
    ):
        if value:
            config[name] = value
    return config


def _check_credentials(kafka: Kafka) -> None:
    """Find out here, by name, what librdkafka would say in OpenSSL's words, and the worker's consumer in others."""
    protocol, faults = kafka.security_protocol, []
    if protocol.startswith("SASL") and not (kafka.sasl_username and kafka.sasl_password.get_secret_value()):
        faults.append(f"EVB_KAFKA__SASL_USERNAME and EVB_KAFKA__SASL_PASSWORD are needed with {protocol}.")
    if protocol.endswith("SSL"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if kafka.ssl_ca_file:
                context.load_verify_locations(kafka.ssl_ca_file)
        except OSError as err:
            faults.append(f"EVB_KAFKA__SSL_CA_FILE: {kafka.ssl_ca_file} cannot be used: {err.strerror or err}.")
        try:
            if kafka.ssl_certificate_file:
                context.load_cert_chain(kafka.ssl_certificate_file, kafka.ssl_key_file or None, password="")
        except OSError as err:
            names = "EVB_KAFKA__SSL_CERTIFICATE_FILE, EVB_KAFKA__SSL_KEY_FILE"
            faults.append(f"{names}: they cannot be used together: {err.strerror or err}.")
    if faults:
        raise Misconfigured(*faults)


def producing(settings: Settings, *, linger_ms: float, timeout_s: float = CONFIRM_S) -> dict[str, object]:
    """
    Give the settings of a producer: acks=all, idempotent, Java's partitioner, our record size.

    `timeout_s` is how long a record may wait for the broker before its report says that it was not confirmed.
    """
    return connection(settings) | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": linger_ms,
        "message.max.bytes": RECORD_BYTES,
        "message.timeout.ms": int(timeout_s * 1000),
        "request.timeout.ms": int(min(timeout_s, 30) * 750),
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 500,
        "queue.buffering.max.messages": 100_000,
        "queue.buffering.max.kbytes": 262_144,
    }
