"""One bound connection to an SMS centre, shared by every thread of a process.

Source: SMPP 3.4, 2.2.3 (transceiver), 2.7.2 (answers in any order), 2.9 (timers), 3.2 (the PDU).
smpplib writes and reads the PDUs. Its client is not used: it is for one thread, and writes every
message and the password to a log.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from smpplib import consts, smpp
from smpplib.command import Command
from smpplib.exceptions import UnknownCommandError
from smpplib.pdu import extract_command

_TICK_SECONDS: Final = 2  # also the longest a write may take
_STALL_SECONDS: Final = 10  # within one PDU
_HEADER: Final = struct.Struct(">LLLL")
_LONGEST_PDU: Final = 70_000  # a payload has 64 KiB at most
_AT_ONCE: Final = 100  # receipts


class NotSent(Exception):
    """The centre surely did not get it: there is no connection, or it broke off before the end."""


class NoAnswer(Exception):
    """It went out, and what became of it is not known."""


class Bind(NamedTuple):
    """Where a centre is and who we are there."""

    host: str
    port: int
    system_id: str
    password: str
    system_type: str = ""


class Line:
    """A connection that is bound, until ``down``.

    Two threads serve it: one reads whatever comes, the other hands receipts on, so that whoever
    keeps them never holds up an answer somebody waits for.

    Args:
        hear: takes what the centre sends by itself, and returns whether it was kept; what was not,
            the centre sends again later.
        by: when it must be bound, of the monotonic clock.
        idle_seconds: of silence, after which we ask whether the centre is there; after twice as
            many the line is down.
    """

    def __init__(
        self,
        bind: Bind,
        hear: Callable[[list[Command]], bool],
        *,
        by: float,
        idle_seconds: float = 30,
    ) -> None:
        self._hear, self._idle_seconds = hear, idle_seconds
        self._numbers = count(1)
        self._writing = threading.Lock()
        self._waiting: dict[int, Future[Command]] = {}
        self._heard: SimpleQueue[Command | None] = SimpleQueue()
        self._heard_at = time.monotonic()
        self.down = False
        try:
            self._socket = socket.create_connection(
                (bind.host, bind.port), timeout=max(0.1, by - time.monotonic())
            )
        except OSError as away:
            raise NotSent("the SMS centre cannot be reached") from away
        self._socket.settimeout(_TICK_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for work in (self._read, self._hand_on):
            threading.Thread(target=work, name="smpp", daemon=True).start()
        self._bind(bind, by)

    def next_sequence(self) -> int:
        """Return the number of the next PDU: smpplib asks for it."""
        return (next(self._numbers) - 1) % 0x7FFFFFFF + 1

    def ask(self, command: str, *, by: float, **fields: Any) -> Command:
        """Send a PDU and return the answer to it; without a sign of life meanwhile, hang up.

        Args:
            by: of the monotonic clock.

        Raises:
            NotSent, NoAnswer: see there.
        """
        pdu = smpp.make_pdu(command, client=self, **fields)
        answer: Future[Command] = Future()
        asked_at = time.monotonic()
        self._write(pdu, answer)
        try:
            return answer.result(max(0, by - time.monotonic()))
        except TimeoutError as late:
            if self._heard_at < asked_at:
                self._end()
            raise NoAnswer("the SMS centre does not answer") from late
        finally:
            self._waiting.pop(pdu.sequence, None)

    def close(self) -> None:
        """Take leave, as far as the centre listens."""
        with suppress(NotSent, NoAnswer):
            self.ask("unbind", by=time.monotonic() + 1)
        self._end()

    def _bind(self, bind: Bind, by: float) -> None:
        try:
            answer = self.ask(
                "bind_transceiver", by=by, system_id=bind.system_id,
                password=bind.password, system_type=bind.system_type,
                interface_version=consts.SMPP_VERSION_34,
            )  # fmt: skip
        except NoAnswer as silent:
            self._end()
            raise NotSent("the SMS centre does not answer") from silent
        if answer.is_error():
            self._end()
            raise NotSent(f"the SMS centre does not let us in: status:{answer.status:#x}")

    def _write(self, pdu: Command, answer: "Future[Command] | None" = None) -> None:
        """Write one PDU; half of one nobody can read, so the line is down with it."""
        with self._writing:
            if self.down:
                raise NotSent("the SMS centre has hung up")
            if answer is not None:
                self._waiting[pdu.sequence] = answer
            try:
                self._socket.sendall(pdu.generate())
                return
            except OSError as broken:
                self._waiting.pop(pdu.sequence, None)
                cause = broken
        self._end()
        raise NotSent("the SMS centre has hung up") from cause

    def _read(self) -> None:
        """Take what comes until the line is down or what comes is no SMPP."""
        with suppress(OSError, NotSent, ValueError):
            while not self.down:
                raw = self._next_pdu()
                if raw is None:
                    self._see_whether_it_is_there()
                else:
                    self._heard_at = time.monotonic()
                    self._take(raw)
        self._end()
        self._socket.close()

    def _next_pdu(self) -> bytes | None:
        """Return a whole PDU; None when nothing came for a while."""
        try:
            first = self._socket.recv(4)
        except TimeoutError:
            return None
        head = self._rest(first, 4)
        (length,) = struct.unpack(">L", head)
        if not _HEADER.size <= length <= _LONGEST_PDU:
            raise ValueError("no PDU has this length")
        return self._rest(head, length)

    def _rest(self, begun: bytes, size: int) -> bytes:
        """Return ``size`` bytes that begin with these."""
        give_up_at = time.monotonic() + _STALL_SECONDS
        whole = bytearray(begun)
        while len(whole) < size:
            try:
                more = self._socket.recv(size - len(whole)) if whole else b""
            except TimeoutError:
                if time.monotonic() > give_up_at:
                    raise
                continue
            if not more:
                raise ConnectionResetError("the SMS centre has hung up")
            whole += more
        return bytes(whole)

    def _take(self, raw: bytes) -> None:
        _, _, _, sequence = _HEADER.unpack_from(raw)
        try:
            command = extract_command(raw)
        except UnknownCommandError:
            self._answer("generic_nack", sequence, consts.SMPP_ESME_RINVCMDID)
            return
        pdu = smpp.make_pdu(command, client=self, allow_unknown_opt_params=True)
        # An option where smpplib expects none: what every PDU of its kind has was read before it.
        with suppress(LookupError, struct.error):
            pdu.parse(raw)
        if pdu.command in {"deliver_sm", "data_sm"}:
            self._heard.put(pdu)
        elif pdu.command == "enquire_link":
            self._answer("enquire_link_resp", sequence)
        elif pdu.command == "unbind":
            self._answer("unbind_resp", sequence)
            self._end()
        elif (answer := self._waiting.pop(sequence, None)) is not None:
            answer.set_result(pdu)

    def _hand_on(self) -> None:
        """Hand receipts on, as many at once as have come, and answer them once they are kept."""
        try:
            while (first := self._heard.get()) is not None:
                pdus = [first]
                with suppress(Empty):
                    while len(pdus) < _AT_ONCE and (more := self._heard.get_nowait()) is not None:
                        pdus.append(more)
                kept = self._hear(pdus)
                status = consts.SMPP_ESME_ROK if kept else consts.SMPP_ESME_RX_T_APPN
                for pdu in pdus:
                    self._answer(f"{pdu.command}_resp", pdu.sequence, status)
        except NotSent:
            pass  # nobody is there to be answered: it comes again
        finally:
            self._end()

    def _answer(self, command: str, sequence: int, status: int = consts.SMPP_ESME_ROK) -> None:
        self._write(smpp.make_pdu(command, client=self, sequence=sequence, status=status))

    def _see_whether_it_is_there(self) -> None:
        silent_seconds = time.monotonic() - self._heard_at
        if silent_seconds > 2 * self._idle_seconds:
            raise ConnectionResetError("the SMS centre is silent")
        if silent_seconds > self._idle_seconds:
            self._write(smpp.make_pdu("enquire_link", client=self))

    def _end(self) -> None:
        """Hang up, and let nobody wait for an answer any longer."""
        with self._writing:
            if self.down:
                return
            self.down = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes who reads, who then closes it
        self._heard.put(None)
        for sequence in list(self._waiting):
            if (answer := self._waiting.pop(sequence, None)) is not None:
                answer.set_exception(NoAnswer("the SMS centre has hung up"))
