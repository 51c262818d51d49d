"""Who may ask the server: a browser on this machine that was given the address of the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from secrets import compare_digest, token_urlsafe
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """An ASGI middleware that answers only the page itself, in a browser that has its token.

    - The header ``Host`` must be this machine's, so that a name that somebody else's DNS server
      points here is refused.
    - ``Origin`` must be the page's own, and a websocket must have one; a browser that says where a
      request comes from (``Sec-Fetch-Site``) must say that it is not from another site.
    - The token, which is in the address that the command prints, becomes a cookie. Other users of
      the machine do not have it.

    Attributes:
        app: that answers what is let through.
        address: of the page, with the token.
    """

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self._hosts = [f"127.0.0.1:{port}", f"localhost:{port}"]
        self._token = token_urlsafe()
        self._cookie = f"textmetric-{port}"
        self.address = f"http://127.0.0.1:{port}/?token={self._token}"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        websocket = scope["type"] == "websocket"
        if not self._is_own(headers, websocket):
            await _refuse(websocket, send, "requests from other sites are refused")
        elif self._has_token(headers):
            await self.app(scope, receive, send if websocket else _with_headers(send))
        elif not websocket and self._is_right(parse_qs(scope["query_string"]).get(b"token", [])):
            cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send, 303, b"", [(b"location", b"/"), (b"set-cookie", cookie.encode())])
        else:
            await _refuse(websocket, send, "open the address that textmetric recluster has printed")

    def _is_own(self, headers: dict[str, list[str]], websocket: bool) -> bool:
        hosts, origins = headers.get("host", []), headers.get("origin", [])
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return False
        if websocket and not origins:
            return False
        if any(origin != f"http://{hosts[0]}" for origin in origins):
            return False
        return {*headers.get("sec-fetch-site", [])} <= {"same-origin", "none"}

    def _has_token(self, headers: dict[str, list[str]]) -> bool:
        try:
            found = SimpleCookie("; ".join(headers.get("cookie", []))).get(self._cookie)
        except CookieError:
            return False
        return found is not None and self._is_right([found.value.encode("latin-1", "replace")])

    def _is_right(self, tokens: list[bytes]) -> bool:
        return len(tokens) == 1 and compare_digest(tokens[0], self._token.encode())


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
        await send(message)

    return sending


async def _refuse(websocket: bool, send: Send, reason: str) -> None:
    if websocket:
        await send({"type": "websocket.close", "code": 1008})
    else:
        await _answer(send, 403, reason.encode(), [(b"content-type", b"text/plain")])


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
