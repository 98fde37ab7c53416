"""Answers at once, slowly, to POST, and as a websocket that says what it is told (RFC 6455, short text frames)."""

import asyncio
import base64
import contextlib
import hashlib
import os
import signal

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE = 8


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            method, path, _ = line.decode().split(" ", 2)
            headers = {}
            while (line := await reader.readline()).strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            if headers.get("upgrade", "").lower() == "websocket":
                await echo(reader, writer, headers["sec-websocket-key"].encode())
                return
            if path.startswith("/slow"):
                await asyncio.sleep(0.25)
            said = f"{os.environ.get('HOSTNAME', '')} {os.environ.get('VERSION', '')} {len(body)} {method}\n".encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def echo(reader, writer, key):
    accepted = base64.b64encode(hashlib.sha1(key + GUID).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n")
    while True:
        head = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await reader.readexactly(head[1] & 0x7F)))
        writer.write(bytes([head[0], len(payload)]) + payload)
        await writer.drain()
        if head[0] & 0x0F == CLOSE:
            return


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(os.environ.get("PORT", "8080")), backlog=512)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve_forever()


asyncio.run(main())
