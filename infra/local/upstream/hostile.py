"""Answers that never behave: bodies that drip, never end, explode when unpacked, or break off."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

DRIP_SECONDS = 0.2
CHUNK = b" " * 65_536
BOMB_BYTES = 256 * 1024 * 1024  # unpacked; about 250 kB on the wire


async def stream(kind: str, status: int, send: Send, transport: asyncio.Transport) -> None:
    """Sends the body named by `kind` until it ends or the client hangs up."""
    headers = [(b"content-type", b"application/json")]
    if kind == "gzip_bomb":
        bomb = _gzip_bomb()
        headers += [(b"content-encoding", b"gzip"), (b"content-length", str(len(bomb)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": bomb})
        return
    if kind == "reset":
        headers.append((b"content-length", b"1000"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"items":[', "more_body": True})
    if kind == "reset":
        transport.abort()
        return
    while not transport.is_closing():
        chunk = b" " if kind == "drip" else CHUNK
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await asyncio.sleep(DRIP_SECONDS if kind == "drip" else 0)


@lru_cache(maxsize=1)
def _gzip_bomb() -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0) as archive:
        for _ in range(BOMB_BYTES // len(CHUNK)):
            archive.write(CHUNK)
    return packed.getvalue()
