# SPDX-License-Identifier: Apache-2.0
"""A real HTTP server that webhooks are posted to: it keeps what came, and answers as a test says."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Receiver(http.server.ThreadingHTTPServer):
    """Answers with the next of `answers`, the last one for ever, and keeps what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = [(200, {})]
        self.silent = threading.Event()
        self.silent.set()  # clear: it answers nothing

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/hooks?token=sesame"


class Handler(http.server.BaseHTTPRequestHandler):
    """One request to a `Receiver`."""

    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        came, answers = self.server.came, self.server.answers
        headers = {name.lower(): text for name, text in self.headers.items()}
        came.append((headers, self.rfile.read(int(headers["content-length"]))))
        self.server.silent.wait()
        status, more = answers[min(len(came), len(answers)) - 1]
        self.send_response(status)
        for name, text in ({"Content-Length": "0"} | more).items():
            self.send_header(name, text)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that runs."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.silent.set()
        receiver.shutdown()
        receiver.server_close()
        thread.join()
