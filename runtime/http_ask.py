"""A GET whose answer's status and Location are all that is asked for.

Hundreds of probes a second go this way. http.client takes 120 microseconds of a processor for one, most of them to make
objects of headers that nobody looks at; this takes 50.
"""

from __future__ import annotations

import http
import http.client
import socket

MOST_BYTES = 65536
"""Of an answer before its body; as http.client has it for one line."""
END = b"\r\n\r\n"


def ask(address: str, port: int, path: str, headers: tuple[tuple[str, str], ...], timeout: float) -> tuple[int, str]:
    """(status, Location); the connection is closed after it. `timeout` seconds bound each step. Raises OSError, and
    HTTPException for what is no answer of HTTP/1."""
    host = f"[{address}]" if ":" in address else address
    said = "" if any(name.lower() == "host" for name, _ in headers) else f"Host: {host}:{port}\r\n"
    lines = said + "".join(f"{name}: {value}\r\n" for name, value in headers)
    with socket.create_connection((address, port), timeout=timeout) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode("latin-1"))
        heard = b""
        while True:
            heard = _head(connection, heard)
            head, _, heard = heard.partition(END)
            status = _status(head)
            # What comes before the answer, such as 103 Early Hints (RFC 8297), is none.
            if status >= http.HTTPStatus.OK or status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return status, _location(head)


def _head(connection: socket.socket, heard: bytes) -> bytes:
    """What was heard, to the end of an answer's headers at least."""
    while END not in heard:
        if len(heard) > MOST_BYTES:
            raise http.client.LineTooLong("header")
        more = connection.recv(MOST_BYTES)
        if not more:
            if heard:
                return heard + END
            raise http.client.RemoteDisconnected("Remote end closed connection without response")
        heard += more
    return heard


def _status(head: bytes) -> int:
    version, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or len(code) != len("200") or not code.isdigit() or code < b"100":
        raise http.client.BadStatusLine(head[:80].decode("latin-1"))
    return int(code)


def _location(head: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"location":
            return value.strip().decode("latin-1")
    return ""
