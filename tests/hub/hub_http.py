"""The connection of the small Hub: who asks, what is answered, and what goes wrong on request."""

from __future__ import annotations

import json
import re
import socket
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from hub_store import Blob, Repo

NOT_THERE = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Invalid username or password."}


@dataclass
class Fault:
    """What goes wrong with the next requests that match."""

    method: str
    path: re.Pattern
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    drop_after: int | None = None
    """Bytes of the body after which the connection is cut."""
    corrupt: bool = False
    """One byte of the body is another."""
    silent: bool = False
    """No answer, until the client goes or the server ends."""
    drip: str = ""
    """``headers`` or ``body``: this part comes byte by byte, slower than anybody would wait for all of it."""
    endless: bool = False
    """The body is right, and then goes on for as long as somebody reads."""
    squeezed: bool = False
    """The body is compressed, though nobody asked for it, and a thousand times longer than declared."""
    twist: Callable[[object], object] | None = None
    """Changes the answer before it is sent."""
    times: int = 10**9


class Refused(Exception):
    """An answer other than the one that was hoped for."""

    def __init__(self, status: int, headers: dict[str, str] | None = None, body: object = None) -> None:
        self.status, self.headers, self.body = status, headers or {}, body


class Hub:
    """Users by token, repositories by id, and what was asked."""

    def __init__(self) -> None:
        self.users: dict[str, str] = {}
        self.repos: dict[str, Repo] = {}
        self.large: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str, str | None]] = []
        self.url = ""
        self.closing = threading.Event()
        """Ends answers that would go on."""
        self.sent = 0
        """Bytes of bodies without end."""
        self.store = ""
        """Where large files lie: another host, which is sent no token."""

    def fail(self, method: str, path: str, status: int = 0, **how: object) -> None:
        """Makes requests fail whose path contains a match of ``path``; see :class:`Fault`."""
        self.faults.append(Fault(method, re.compile(path), status, **how))

    def paths(self, method: str = "GET") -> list[str]:
        return [path for asked, path, _ in self.log if asked == method]

    def fault_for(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.method == method and fault.path.search(path) and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def repo(self, name: str, user: str | None) -> Repo:
        """A repository that the user may read; others are answered as the Hub does, 401 or 404."""
        repo = self.repos.get(name)
        if repo is None or (repo.private and user != name.partition("/")[0]):
            raise Refused(401 if user is None else 404, NOT_THERE if user is None else {"X-Error-Code": "RepoNotFound"})
        return repo

    def files(self, repo: Repo, revision: str, user: str | None) -> tuple[str, dict[str, Blob]]:
        sha = repo.find(revision)
        if sha is None:
            raise Refused(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": f"Invalid rev id: {revision}"})
        return sha, repo.commits[sha]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: Hub
    routes: ClassVar[list[tuple[str, str, Callable[..., None]]]] = []
    """Method, path (a pattern), and who answers: called with the groups of the pattern and the body."""

    def log_message(self, *args: object) -> None:
        pass

    def handle_request(self) -> None:
        self.fault = None
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path = urlsplit(self.path).path
        self.hub.log.append((self.command, path, self.headers.get("Authorization")))
        try:
            fault = self.hub.fault_for(self.command, path)
            if fault is not None and fault.status:
                raise Refused(fault.status, fault.headers)
            self.fault = fault
            if fault is not None and fault.silent:
                self.hub.closing.wait(60)
                self.close_connection = True
                return
            for method, pattern, route in self.routes:
                match = re.fullmatch(pattern, path)
                if match and method == self.command.replace("HEAD", "GET"):
                    found = [group and unquote(group) for group in match.groups()]
                    route(self, *found, *([body] if method != "GET" else []))
                    return
            raise Refused(404)
        except Refused as refused:
            self.answer(refused.body or {"error": "refused"}, refused.status, refused.headers)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    @property
    def user(self) -> str | None:
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if not scheme:
            return None
        if token not in self.hub.users:
            raise Refused(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        return self.hub.users[token]

    def writable(self, name: str) -> Repo:
        repo = self.hub.repo(name, self.user)
        if self.user != name.partition("/")[0]:
            raise Refused(403, {"X-Error-Message": "You don't have the rights to write to this repository"})
        return repo

    def answer(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        if self.fault is not None and self.fault.twist is not None:
            value = self.fault.twist(value)
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        sent = data
        if self.fault is not None and self.fault.corrupt:
            sent = data[:-1] + bytes([data[-1] ^ 1])
        if self.fault is not None and self.command != "HEAD" and self.misbehave(data, status, headers or {}):
            return
        self.send_response(status)
        for name, text in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.fault.drop_after if self.fault is not None else None
        self.wfile.write(sent if cut is None else sent[:cut])
        if cut is not None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def misbehave(self, data: bytes, status: int, headers: dict[str, str]) -> bool:
        """Answers as the fault says; False where it is of another kind."""
        fault, closing = self.fault, self.hub.closing
        if not (fault.drip or fault.endless or fault.squeezed):
            return False
        self.close_connection = True
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        head = f"HTTP/1.1 {status} OK\r\n{lines}Connection: close\r\n"
        try:
            if fault.squeezed:
                packed = zlib.compress(bytes(50_000_000))
                self.wfile.write(f"{head}Content-Encoding: deflate\r\nContent-Length: {len(packed)}\r\n\r\n".encode())
                self.wfile.write(packed)
            elif fault.endless:
                self.wfile.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                while not closing.is_set() and self.hub.sent < 2**30:
                    self.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                    self.hub.sent += 65536
            else:
                whole = f"{head}Content-Length: {len(data)}\r\n\r\n".encode()
                slow, quick = (whole, b"") if fault.drip == "headers" else (data, whole)
                self.wfile.write(quick)
                for byte in slow[:-1]:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    if closing.wait(0.1):
                        return True
        except OSError:  # the client has gone
            pass
        return True
