# SPDX-License-Identifier: Apache-2.0
"""The web server as a program, which `evb web` becomes (`web.launch`): `python -m web` with what to listen on, as JSON."""

import json
import sys

# structlog would load it for tracebacks in colour: 5 MB in the server and in each of its workers
sys.modules["rich"] = None  # type: ignore[assignment]

from web.launch import Listening  # noqa: E402
from web.server import serve  # noqa: E402

serve(Listening(**json.loads(sys.argv[1])))
