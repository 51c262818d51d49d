"""Serve the page on this machine until the process is interrupted."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable

from textmetric.errors import UserError, needing
from textmetric.reclustering.app.desk import Desk
from textmetric.reclustering.app.guard import Guard
from textmetric.reclustering.app.page import Page

with needing("the page to correct on", "app"):
    import uvicorn
    from fastapi import FastAPI
    from nicegui import ui

PORT = 8580


def serve(desk: Desk, port: int = PORT, *, ready: Callable[[str], object]) -> None:
    """Serve the page on the loopback interface until SIGINT or SIGTERM.

    Args:
        desk: what is corrected.
        port: to listen on; 0 for one that is free.
        ready: called with the address of the page.

    Raises:
        UserError: the port is taken.
    """

    def build() -> None:
        Page(desk)

    # it looks at all objects when it starts, those of torch included
    warnings.filterwarnings("ignore", category=FutureWarning, module="nicegui")
    with _listening(port) as listener:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        guard = Guard(app, listener.getsockname()[1])
        ui.page("/", title="textmetric recluster")(build)
        ui.run_with(
            app,
            tailwind=False,
            show_welcome_message=False,
            dark=None,
            message_history_length=50,
            binding_refresh_interval=None,
            reconnect_timeout=60,  # a turn may keep the server busy
        )
        config = uvicorn.Config(
            guard,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
        )
        ready(guard.address)
        uvicorn.Server(config).run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(
            f"port {port} cannot be used ({error.strerror}): give another one with --port"
        ) from None
    return listener
