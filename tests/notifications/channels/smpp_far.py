"""An SMS centre, written from the specification of SMPP 3.4 and TS 23.040, not from our adapter.

It listens on a port, reads PDUs by its own code, refuses what the specification refuses, puts the
parts of a text together as a phone would, and sends receipts over the same connection.
"""

import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from notifications.channels.base import Fate
from tests.notifications.channels.contract import Arrived, FarSide

BIND_TRANSCEIVER, SUBMIT, DELIVER, UNBIND, ENQUIRE = 0x09, 0x04, 0x05, 0x06, 0x15
RESP = 0x80000000
NACK = 0x80000000
OK, BAD_STATUS, BAD_ADDRESS, BIND_FAILED, BAD_PASSWORD = 0x00, 0x04, 0x0B, 0x0D, 0x0E
QUEUE_FULL, BAD_ESM, SUBMIT_FAILED, THROTTLED, TRY_LATER, BAD_EXPIRY = (
    0x14, 0x43, 0x45, 0x58, 0x64, 0x62,
)  # fmt: skip
_GSM = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ�ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_ESCAPED = dict(zip(b"\x0a\x14\x28\x29\x2f\x3c\x3d\x3e\x40\x65", "\f^{}\\[~]|€", strict=True))
STATES = {Fate.DELIVERED: "DELIVRD", Fate.FAILED: "UNDELIV"}


@dataclass
class Submitted:
    """One submit_sm as it came."""

    source: tuple[int, int, str]
    to: tuple[int, int, str]
    esm_class: int
    coding: int
    registered: int
    validity: str
    octets: bytes
    status: int = OK
    ref: str = ""

    @property
    def header(self) -> tuple[int, int, int] | None:
        """Reference, how many parts, which; None of a text in one piece."""
        if not self.esm_class & 0x40:
            return None
        assert self.octets[:3] == b"\x05\x00\x03", "not the header of a part"
        return self.octets[3], self.octets[4], self.octets[5]

    @property
    def text(self) -> bytes:
        return self.octets[6:] if self.header else self.octets

    def read(self) -> str:
        """Return this part's own characters: no character may be torn apart."""
        if self.coding == 8:
            return self.text.decode("utf-16-be")
        assert self.coding == 0
        chars, octets = [], iter(self.text)
        for octet in octets:
            assert octet < 0x80, "a septet has seven bits"
            chars.append(_GSM_ESCAPED[next(octets)] if octet == 0x1B else _GSM[octet])
        return "".join(chars)


class Reader:
    """The parameters of one PDU, in order."""

    def __init__(self, body: bytes) -> None:
        self.body, self.at = body, 0

    def octet(self) -> int:
        self.at += 1
        return self.body[self.at - 1]

    def text(self, size: int) -> str:
        end = self.body.index(0, self.at)
        assert end - self.at < size, "longer than the specification allows"
        found, self.at = self.body[self.at : end].decode("ascii"), end + 1
        return found

    def take(self, length: int) -> bytes:
        found, self.at = self.body[self.at : self.at + length], self.at + length
        assert len(found) == length
        return found


@dataclass
class SmsCentre(FarSide):
    """``script`` gives the statuses of the next submits; then it takes everything, but a fault."""

    system_id: str = "citybill"
    password: str = "s3cr3t-9"
    fault: str = ""
    script: list[int] = field(default_factory=list)
    slowest_seconds: float = 0.0
    hang_up_after: int = 0  # so many submits
    submitted: list[Submitted] = field(default_factory=list)
    answered: list[tuple[int, int]] = field(default_factory=list)  # our PDU's number, its status
    commands: Counter[int] = field(default_factory=Counter)
    bound: int = 0
    window: int = 0  # the most that waited for an answer at once

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lines: list[socket.socket] = []
        self._lock = threading.Lock()
        self._open = 0
        self._chance = Random(7)
        self._numbers = iter(range(1, 1_000_000))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self.behave("down")
        for thread in self._threads:
            thread.join(5)

    # What a test asks of it

    @property
    def arrived(self) -> list[Arrived]:
        """Texts a phone can show: all their parts are there."""
        texts: dict[object, dict[int, Submitted]] = {}
        with self._lock:
            for position, one in enumerate(self.submitted):
                if one.status != OK:
                    continue
                if one.header is None:
                    texts[position] = {1: one}
                    continue
                reference, _, number = one.header
                key = (one.to, reference)
                if number in texts.get(key, {}):  # a text told once more
                    texts[position] = texts.pop(key)
                texts.setdefault(key, {})[number] = one
        whole = [
            parts for parts in texts.values()
            if len(parts) == (next(iter(parts.values())).header or (0, 1, 1))[1]
        ]  # fmt: skip
        return [
            Arrived(
                "+" + parts[1].to[2], "".join(one.read() for _, one in sorted(parts.items()))
            )
            for parts in whole
        ]  # fmt: skip

    def behave(self, fault: str) -> None:
        self.fault = fault
        if fault == "down":
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self.hang_up()

    def hang_up(self) -> None:
        """Break every connection."""
        for line in list(self._lines):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def tell(self, ref: str, state: str, *, by_option: bool = False, payload: bool = False) -> int:
        """Send a receipt and return its number; ``by_option``: its id as a parameter, too."""
        when = "2611201205"
        text = (
            f"id:{'0' if by_option else ref} sub:001 dlvrd:001 submit date:{when}"
            f" done date:{when} stat:{state} err:0{21 if state != 'DELIVRD' else '00'} text:"
        ).encode()
        options = b""
        if by_option:
            options += struct.pack(">HH", 0x001E, len(ref) + 1) + ref.encode() + b"\0"
            options += struct.pack(">HHB", 0x0427, 1, 2)
            options += struct.pack(">HH", 0x1501, 2) + b"xy"  # of no specification
        if payload:
            options += struct.pack(">HH", 0x0424, len(text)) + text
            text = b""
        return self.deliver(text, esm_class=0x04, options=options)

    def deliver(self, text: bytes, *, esm_class: int, coding: int = 0, options: bytes = b"") -> int:
        """Send a deliver_sm and return its number."""
        number = next(self._numbers)
        body = (
            b"\0" + b"\x01\x01" + b"8613900000001\0" + b"\x00\x01" + b"10690000\0"
            + bytes([esm_class, 0, 0]) + b"\0\0" + bytes([0, 0, coding, 0, len(text)]) + text
            + options
        )  # fmt: skip
        self._lines[-1].sendall(pdu(DELIVER, OK, number, body))
        return number

    def send_raw(self, raw: bytes) -> None:
        self._lines[-1].sendall(raw)

    # What it does by itself

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self._lines.append(line)
            thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, line: socket.socket) -> None:
        bound = False
        try:
            while True:
                command, status, number, body = read_pdu(line)
                self.commands[command] += 1
                if command == BIND_TRANSCEIVER:
                    bound = self._bind(line, number, Reader(body))
                elif command == SUBMIT:
                    self._submit(line, number, Reader(body), bound)
                elif command == DELIVER | RESP:
                    self.answered.append((number, status))
                elif command == ENQUIRE and self.fault != "hang":
                    line.sendall(pdu(ENQUIRE | RESP, OK, number))
                elif command == UNBIND:
                    line.sendall(pdu(UNBIND | RESP, OK, number))
                    return
        except OSError:
            return
        finally:
            self.bound -= bound
            line.close()

    def _bind(self, line: socket.socket, number: int, told: Reader) -> bool:
        system_id, password = told.text(16), told.text(9)
        told.text(13)
        assert told.octet() == 0x34, "not SMPP 3.4"
        known = (system_id, password) == (self.system_id, self.password)
        if known:
            self.bound += 1
            line.sendall(pdu(BIND_TRANSCEIVER | RESP, OK, number, b"SMSC\0"))
        else:
            line.sendall(pdu(BIND_TRANSCEIVER | RESP, BAD_PASSWORD, number))
        return known

    def _submit(self, line: socket.socket, number: int, told: Reader, bound: bool) -> None:
        one = self._read_submit(told)
        if self.fault == "hang":
            return
        if self.fault == "garbage":
            line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        with self._lock:
            one.status = self._judge(one, bound)
            one.ref = f"{len(self.submitted) + 0x5E00:X}"
            self.submitted.append(one)
            self._open += 1
            self.window = max(self.window, self._open)
        answer = pdu(SUBMIT | RESP, one.status, number, one.ref.encode() + b"\0" if not one.status
                     else b"")  # fmt: skip
        if not self.slowest_seconds:
            self._answer(line, answer)
            if len(self.submitted) == self.hang_up_after:
                self.hang_up()
            return
        wait = threading.Timer(self._chance.random() * self.slowest_seconds, self._answer,
                               (line, answer))  # fmt: skip
        self._threads.append(wait)
        wait.start()

    def _answer(self, line: socket.socket, answer: bytes) -> None:
        with self._lock:
            self._open -= 1
            with suppress(OSError):
                line.sendall(answer)

    def _judge(self, one: Submitted, bound: bool) -> int:
        if not bound:
            return BAD_STATUS
        if self.fault in {"busy", "refuse"}:
            return THROTTLED if self.fault == "busy" else SUBMIT_FAILED
        if self.script:
            return self.script.pop(0)
        if not re.fullmatch("[1-9][0-9]{6,14}", one.to[2]) or one.to[:2] != (1, 1):
            return BAD_ADDRESS
        if one.validity and not re.fullmatch("[0-9]{15}[+]", one.validity):
            return BAD_EXPIRY
        return OK

    @staticmethod
    def _read_submit(told: Reader) -> Submitted:
        told.text(6)
        source = (told.octet(), told.octet(), told.text(21))
        to = (told.octet(), told.octet(), told.text(21))
        esm_class, _protocol, _priority = told.octet(), told.octet(), told.octet()
        assert told.text(17) == "", "nobody asked for a later time"
        validity, registered, _replace = told.text(17), told.octet(), told.octet()
        coding, _canned, length = told.octet(), told.octet(), told.octet()
        octets = told.take(length)
        assert told.at == len(told.body)
        longest = 140 if coding == 8 else 160
        assert len(octets) <= longest, "more than a message holds"
        return Submitted(source, to, esm_class, coding, registered, validity, octets)


def pdu(command: int, status: int, number: int, body: bytes = b"") -> bytes:
    return struct.pack(">LLLL", 16 + len(body), command, status, number) + body


def read_pdu(line: socket.socket) -> tuple[int, int, int, bytes]:
    """Return command, status, number and body."""
    length, command, status, number = struct.unpack(">LLLL", _exactly(line, 16))
    return command, status, number, _exactly(line, length - 16)


def _exactly(line: socket.socket, size: int) -> bytes:
    whole = b""
    while len(whole) < size:
        more = line.recv(size - len(whole))
        if not more:
            raise ConnectionResetError
        whole += more
    return whole


def until(true: Callable[[], object], seconds: float = 5) -> None:
    """Wait for what another thread does."""
    give_up_at = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
