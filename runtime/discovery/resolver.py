"""The resolver: a process that answers on the gateway of each namespace's network, and outlives the controller.

It knows what the controller told it last, by a socket, and what stands in a file, with its start. Names of others go to
the host's resolvers, byte for byte. Why it is a program of our own: what it listens on comes and goes with the
namespaces, and dnsmasq has to be started anew for that, which loses the questions of all others meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import signal
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

from runtime.discovery.answer import answer, belongs_to, failure, listed
from runtime.discovery.zone import Zone
from runtime.errors import Conflict
from runtime.settings import RuntimeSettings

log = logging.getLogger(__name__)

PORT = 53
IP_FREEBIND = 15
RESOLV_CONF = Path("/etc/resolv.conf")
UPSTREAM_SECONDS = 2.0
"""For each of the host's resolvers; who asked gives up after five."""
MOST_UPSTREAMS = 2
MOST_AT_ONCE = 500
"""Questions on their way to the host's resolvers; more are answered with a failure."""
IDLE_SECONDS = 10.0
LARGEST_ZONE = 16 * 1024 * 1024
AGAIN_SECONDS = 1.0


class Resolver:
    """Listeners by address, and what is answered on them."""

    def __init__(self, *, port: int = PORT, resolv_conf: Path = RESOLV_CONF, others_port: int = PORT) -> None:
        self._port = port
        self._others_port = others_port
        self._resolv_conf = resolv_conf
        self._zone = Zone()
        self._listeners: dict[str, _Listener] = {}
        self._failed: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    async def adopt(self, zone: Zone) -> dict[str, str]:
        """Answer with what is in the zone, where it says; the addresses that could not be listened on, with why."""
        async with self._turn:
            self._zone = zone
            await self._listen_as_told()
            return self._failed

    @property
    def failed(self) -> bool:
        """Whether there is an address that it could not listen on."""
        return bool(self._failed)

    async def retry(self) -> None:
        """Try again what could not be listened on."""
        async with self._turn:
            await self._listen_as_told()

    def close(self) -> None:
        """Answer nobody any more."""
        for listener in self._listeners.values():
            listener.close()

    def own_answer(self, query: bytes, *, datagram: bool) -> bytes | None:
        """See `answer`."""
        return answer(query, self._zone, datagram=datagram)

    def spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work was begun: not where too much is under way."""
        if len(self._tasks) >= MOST_AT_ONCE:
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def ask_others(self, query: bytes, *, datagram: bool) -> bytes:
        """What the host's resolvers say to a query, the first that says anything."""
        for server in self._others():
            try:
                async with asyncio.timeout(UPSTREAM_SECONDS):
                    ask = _ask_by_datagram if datagram else _ask_by_stream
                    return await ask((server, self._others_port), query)
            except (OSError, EOFError, TimeoutError) as error:
                log.debug("resolver of the host does not answer", extra={"server": server, "error": str(error)})
        return failure(query)

    async def _listen_as_told(self) -> None:
        for address in set(self._listeners) - set(self._zone.listen):
            self._listeners.pop(address).close()
        failed: dict[str, str] = {}
        for address in self._zone.listen:
            if address not in self._listeners:
                try:
                    self._listeners[address] = await _listen(self, address, self._port)
                except (OSError, ValueError) as error:
                    failed[address] = getattr(error, "strerror", None) or str(error)
        self._failed = failed

    def _others(self) -> tuple[str, ...]:
        try:
            text = self._resolv_conf.read_text()
        except OSError:
            return ()
        own = [str(listener.network.ip) for listener in self._listeners.values()]
        return listed(text, own)[:MOST_UPSTREAMS]


class _Listener:
    """One address, by datagram and by stream, for those of its own network alone."""

    def __init__(self, network: ipaddress.IPv4Interface) -> None:
        self.network = network
        self.transport: asyncio.BaseTransport | None = None
        self.server: asyncio.Server | None = None

    def serves(self, peer: str) -> bool:
        """Whether who asks is of the network. What the machine's other networks can reach is nobody's open resolver."""
        return ipaddress.ip_address(peer) in self.network.network

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
        if self.server is not None:
            self.server.close()


async def _listen(resolver: Resolver, address: str, port: int) -> _Listener:
    """Raises OSError where that is taken, ValueError for what is no address with its network."""
    listener = _Listener(ipaddress.IPv4Interface(address))
    where = str(listener.network.ip)
    # Both are bound before either is used: one that is given back is free at once, and a transport's is not.
    stream = _bound(where, port, socket.SOCK_STREAM)
    try:
        datagrams = _bound(where, port, socket.SOCK_DGRAM)
    except OSError:
        stream.close()
        raise
    listener.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(resolver, listener), sock=datagrams
    )
    listener.server = await asyncio.start_server(
        lambda reader, writer: _converse(resolver, listener, reader, writer), sock=stream
    )
    return listener


def _bound(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    try:
        if kind is socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # After a reboot the engine makes its bridges later than we begin.
        made.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        made.setblocking(False)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver, listener: _Listener) -> None:
        self._resolver = resolver
        self._listener = listener
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self._listener.serves(addr[0]):
            return
        try:
            said = self._resolver.own_answer(data, datagram=True)
        except ValueError:
            return
        if said is None and not self._resolver.spawn(self._pass_on(data, addr)):
            said = failure(data)
        if said and self._transport is not None:
            self._transport.sendto(said, addr)

    async def _pass_on(self, query: bytes, asker: tuple[str, int]) -> None:
        said = await self._resolver.ask_others(query, datagram=True)
        if said and self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(said, asker)


async def _converse(
    resolver: Resolver, listener: _Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Questions of one connection, one after the other (RFC 1035, 4.2.2)."""
    try:
        if not listener.serves(writer.get_extra_info("peername")[0]):
            return
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                query = await _read(reader)
            said = resolver.own_answer(query, datagram=False)
            if said is None:
                said = await resolver.ask_others(query, datagram=False)
            writer.write(len(said).to_bytes(2, "big") + said)
            await writer.drain()
    except (OSError, EOFError, TimeoutError, ValueError):
        pass
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


class _Once(asyncio.DatagramProtocol):
    """The one answer to a query."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del addr  # the socket is connected, and takes from nobody else
        if belongs_to(data, self._query) and not self.said.done():
            self.said.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.said.done():
            self.said.set_exception(exc)


async def _ask_by_datagram(server: tuple[str, int], query: bytes) -> bytes:
    # A socket for each question: the kernel chooses its port, which who would answer for others cannot guess.
    transport, once = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Once(query), remote_addr=server
    )
    try:
        transport.sendto(query)
        return await once.said
    finally:
        transport.close()


async def _ask_by_stream(server: tuple[str, int], query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        await writer.drain()
        return await _read(reader)
    finally:
        writer.close()


def run_resolver(settings: RuntimeSettings) -> None:
    """Be the resolver until SIGTERM or SIGINT. Raises Conflict (`resolver-running`)."""
    asyncio.run(_run(settings))


async def _run(settings: RuntimeSettings) -> None:
    if await _somebody(settings.resolver_socket):
        raise Conflict("resolver-running", str(settings.resolver_socket), "a resolver of this instance is running")
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    resolver = Resolver()
    with contextlib.suppress(OSError, ValueError):
        await resolver.adopt(Zone.from_json(settings.zone.read_text()))
    server = await _serve_told(resolver, settings.resolver_socket)
    log.info("resolver started", extra={"instance": settings.instance})
    try:
        while not over.is_set():
            if resolver.failed:
                await resolver.retry()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_SECONDS):
                    await over.wait()
    finally:
        server.close()
        settings.resolver_socket.unlink(missing_ok=True)
        resolver.close()


async def _somebody(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.close()
    return True


async def _serve_told(resolver: Resolver, path: Path) -> asyncio.Server:
    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                zone = Zone.from_json((await reader.readline()).decode())
            failed = await resolver.adopt(zone)
            writer.write(json.dumps({"failed": failed}).encode() + b"\n")
            await writer.drain()
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            log.debug("not told", extra={"error": str(error)})
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(told, str(path), limit=LARGEST_ZONE)
    finally:
        os.umask(before)
