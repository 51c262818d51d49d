from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from textmetric.reclustering.app.guard import Guard

PORT = 8580
OWN = {"host": f"127.0.0.1:{PORT}"}


async def inner(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})


def ask(
    guard: Guard,
    headers: Mapping[str, str] | list[tuple[str, str]],
    *,
    query: str = "",
    kind: str = "http",
    token: bool = True,
) -> dict[str, Any]:
    """The first message that answers a request."""
    pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
    if token:
        secret = guard.address.partition("token=")[2]
        pairs = [*pairs, ("cookie", f"other=1; textmetric-{PORT}={secret}")]
    scope = {
        "type": kind,
        "path": "/",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in pairs],
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    asyncio.run(guard(scope, receive, send))
    return dict(sent[0])


@pytest.mark.parametrize(
    "headers",
    [
        OWN,
        {"host": f"localhost:{PORT}"},
        {**OWN, "origin": f"http://127.0.0.1:{PORT}"},
        {**OWN, "sec-fetch-site": "same-origin"},
        {**OWN, "sec-fetch-site": "none"},
    ],
)
def test_the_page_itself_is_answered(headers: dict[str, str]) -> None:
    answer = ask(Guard(inner, PORT), headers)
    assert answer["status"] == 200
    policy = dict(answer["headers"])[b"content-security-policy"]
    assert b"default-src 'self'" in policy
    assert b"frame-ancestors 'none'" in policy


FOREIGN: list[Any] = [
    {},
    {"host": "evil.example"},
    {"host": f"evil.example:{PORT}"},  # a name that leads here
    {"host": "127.0.0.1"},
    {"host": f"127.0.0.1:{PORT + 1}"},
    {"host": f"127.0.0.1.evil.example:{PORT}"},
    [("host", f"127.0.0.1:{PORT}"), ("host", "evil.example")],
    {**OWN, "origin": "http://evil.example"},
    {**OWN, "origin": "null"},
    {**OWN, "origin": f"http://127.0.0.1:{PORT + 1}"},
    {**OWN, "origin": f"https://127.0.0.1:{PORT}"},
    {**OWN, "origin": f"http://localhost:{PORT}"},
    {**OWN, "sec-fetch-site": "cross-site"},
    {**OWN, "sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_others_are_refused_even_with_the_token(headers: Any) -> None:
    guard = Guard(inner, PORT)
    assert ask(guard, headers)["status"] == 403
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    if not any(name == "origin" for name, _ in pairs):
        pairs = [*pairs, ("origin", f"http://127.0.0.1:{PORT}")]
    assert ask(guard, pairs, kind="websocket")["type"] == "websocket.close"


def test_a_websocket_needs_an_origin_and_the_token() -> None:
    guard, headers = Guard(inner, PORT), {**OWN, "origin": f"http://127.0.0.1:{PORT}"}
    assert ask(guard, headers, kind="websocket")["type"] == "websocket.accept"
    assert ask(guard, headers, kind="websocket", token=False)["type"] == "websocket.close"
    assert ask(guard, OWN, kind="websocket")["type"] == "websocket.close"


@pytest.mark.parametrize("cookie", ["", "textmetric-8580=", "textmetric-8580=wrong", "a=b", "é;=;"])
def test_who_lacks_the_token_is_refused(cookie: str) -> None:
    assert ask(Guard(inner, PORT), {**OWN, "cookie": cookie}, token=False)["status"] == 403


def test_the_address_gives_the_cookie_and_a_wrong_one_does_not() -> None:
    guard = Guard(inner, PORT)
    query = guard.address.partition("?")[2]
    answer = ask(guard, OWN, query=query, token=False)
    assert answer["status"] == 303
    found = dict(answer["headers"])
    assert found[b"location"] == b"/"
    assert b"HttpOnly" in found[b"set-cookie"]
    assert b"SameSite=Strict" in found[b"set-cookie"]
    for wrong in ("token=x", f"{query}x", f"{query}&token=x", "token="):
        assert ask(guard, OWN, query=wrong, token=False)["status"] == 403
    assert guard.address != Guard(inner, PORT).address
