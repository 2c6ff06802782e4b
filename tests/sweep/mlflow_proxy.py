"""An unreliable proxy in front of an MLflow server on this machine."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

MODES = ("open", "closed", "error", "cut", "late")


class Proxy:
    """Forwards requests to a server, or disrupts them according to its `mode`.

    - ``open``: forwards.
    - ``closed``: closes each connection without an answer.
    - ``error``: answers 500 and forwards nothing.
    - ``cut``: forwards a request, then closes the connection without the answer.
    - ``late``: closes the connection at once, and forwards the request after `delay` seconds, like
      a loaded server that handles a request after its client has given up.

    Args:
        target: URL of the server.

    Attributes:
        spoils: Whether the mode applies to a request (method and path); by default, to all.
        begins: Whether the mode is already in force; by default, at once.
        spoiled: The requests that were not forwarded and answered normally.
    """

    def __init__(self, target: str) -> None:
        self.mode = "open"
        self.delay = 0.5
        self.spoils: Callable[[str, str], bool] = lambda method, path: True
        self.begins: Callable[[], bool] = lambda: True
        self.spoiled: list[str] = []
        self._target = urlsplit(target).netloc
        self._late: list[threading.Thread] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                proxy._handle(self)

            def log_message(self, *_: Any) -> None:
                pass

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", Handler._any)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stop listening, after late requests were forwarded."""
        self.wait()
        self._server.shutdown()
        self._server.server_close()

    def wait(self) -> None:
        """Wait until all late requests were forwarded."""
        for thread in self._late:
            thread.join()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        spoils = self.begins() and self.spoils(request.command, request.path)
        mode = self.mode if spoils else "open"
        if mode == "open":
            self._answer(request, *self._forward(request, body))
            return
        self.spoiled.append(f"{request.command} {request.path}")
        if mode == "error":
            self._answer(request, 500, [], b"the server is unwell")
            return
        if mode == "cut":
            self._forward(request, body)
        elif mode == "late":
            timer = threading.Timer(self.delay, self._forward, (request, body))
            timer.start()
            self._late.append(timer)
        request.close_connection = True
        request.connection.shutdown(2)

    def _forward(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._target, timeout=60)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "host"}
        connection.request(request.command, request.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() == "content-type"]
        return answer.status, kept, content

    @staticmethod
    def _answer(
        request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        request.send_response(status)
        for key, value in headers:
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
