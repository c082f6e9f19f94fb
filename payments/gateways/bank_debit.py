"""Batch collection from bank accounts (代收): the bank tells only of what it could not collect.

An order asked for here waits in our own books until its batch is cut
(``payments.autopay.collections``), so ``debit`` says OPEN, and ``query`` says so too until the bank
returns it or the silence is over.

Source: docs/wire/bank-debit.md.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, BinaryIO, Final
from urllib.parse import quote

import httpx

from core import crypto
from core.clock import utc_now
from core.errors import Invalid, UpstreamUnavailable
from core.settings import Environment, Settings
from payments.gateways.as_written import yuan
from payments.gateways.bank_files import (
    ENDS_MANDATE,
    Creditor,
    read_returns,
    write_fixed,
    write_pain_008,
)
from payments.gateways.base import (
    Asked,
    Callback,
    CallbackAnswer,
    Capabilities,
    DisputeReply,
    DisputeState,
    FileState,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    MandateState,
    Order,
    RefundOrder,
    RefundReply,
    RefundState,
    SettlementFetch,
    SettlementRecord,
    Spoken,
)
from payments.gateways.collecting import Batch, HandOver, HandOverReply, ReturnFile
from payments.gateways.day_files import moment, read_day_file

CODE: Final = "bank_debit"
_COLUMNS = ("kind", "order_no", "batch_no", "amount", "happened_at")
_UNKNOWN = GatewayReply(status=GatewayStatus.UNKNOWN)
_MANDATE = {
    "open": MandateState.OPEN,
    "active": MandateState.ACTIVE,
    "refused": MandateState.REFUSED,
    "ended": MandateState.ENDED,
}


class BankDebit:
    code = CODE
    name = Spoken("银行代扣", "Bank debit")
    description = Spoken(
        "从签约的银行账户扣款，数日后到账", "Taken from your account within some days"
    )

    def __init__(
        self,
        base_url: str,
        secret: str,
        creditor: Creditor,
        *,
        iso20022: bool = False,
        silence_days: int = 3,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._secret, self._creditor, self._clock = secret, creditor, clock
        self._iso20022 = iso20022
        self.capabilities = Capabilities(
            modes=("bank_debit",), channels=frozenset({"autopay"}), refund_days=0, closes=False,
            only_failures=True, silence_days=silence_days,
        )  # fmt: skip
        self._http = httpx.Client(
            base_url=base_url, timeout=httpx.Timeout(5, connect=2), trust_env=False
        )

    def open_order(self, order: Order) -> GatewayReply:
        """Refuse: a payer who is there has nothing to confirm; a mandate is what it takes."""
        return GatewayReply(status=GatewayStatus.REFUSED, reason="a mandate is needed")

    def debit(self, order: Order, *, mandate_ref: str) -> GatewayReply:
        """Take an order for the next batch, if its mandate still stands."""
        told = self._mandate_reply(self._call("GET", f"/bank/debtors/{quote(mandate_ref)}"))
        match told.state:
            case MandateState.ACTIVE:
                return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=order.order_no)
            case MandateState.UNKNOWN:
                return _UNKNOWN
        return GatewayReply(
            status=GatewayStatus.REFUSED, reason=f"mandate_ended: the bank says {told.state}"
        )

    def query(self, asked: Asked) -> GatewayReply:
        """Ask whether an order came back; that it did not is no yes yet (rule 34)."""
        answer = self._call("GET", f"/bank/entries/{quote(asked.order_no)}")
        if answer is not None and answer.status_code == httpx.codes.NOT_FOUND:
            return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=asked.order_no)
        told = _json(answer, {200})
        match told.get("state"):
            case "taken":
                return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=asked.order_no)
            case "returned":
                return GatewayReply(
                    status=GatewayStatus.REFUSED, gateway_ref=asked.order_no,
                    reason=reason_of(str(told.get("code", "MS03"))),
                )  # fmt: skip
        return _UNKNOWN

    def close(self, asked: Asked) -> GatewayReply:
        """Leave it as it is: what is in a batch cannot be called back."""
        return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=asked.gateway_ref)

    def refund(self, order: RefundOrder) -> RefundReply:
        """Refuse: the bank collects and does not pay out; money goes back by bank transfer."""
        return RefundReply(state=RefundState.REFUSED, reason="goes back by bank transfer")

    def query_refund(self, order: RefundOrder) -> RefundReply:
        return RefundReply(state=RefundState.NOT_FOUND)

    def query_dispute(self, dispute_ref: str) -> DisputeReply:
        """Ask about a late return; there is nothing to dispute about it: it is lost."""
        answer = self._call("GET", f"/bank/entries/{quote(dispute_ref)}")
        told = _json(answer, {200})
        amount_fen = told.get("amount_fen")
        if told.get("state") != "returned" or type(amount_fen) is not int:
            return DisputeReply(state=DisputeState.UNKNOWN)
        return DisputeReply(
            state=DisputeState.LOST, order_no=dispute_ref, amount_fen=amount_fen,
            reason=reason_of(str(told.get("code", "MS03"))),
        )  # fmt: skip

    def sign_mandate(self, order: MandateOrder) -> MandateReply:
        body = {
            "mandate_no": order.mandate_no, "maximum_fen": order.maximum_fen,
            "subject": order.subject, "return_url": order.return_url,
        }  # fmt: skip
        return self._mandate_reply(self._call("POST", "/bank/mandates", body), {200, 201})

    def query_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        return self._mandate_reply(self._call("GET", f"/bank/mandates/{quote(mandate_no)}"))

    def end_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        path = f"/bank/mandates/{quote(mandate_no)}/end"
        return self._mandate_reply(self._call("POST", path, {}))

    def _mandate_reply(
        self, answer: httpx.Response | None, expected: frozenset[int] | set[int] = frozenset({200})
    ) -> MandateReply:
        if answer is not None and answer.status_code == httpx.codes.NOT_FOUND:
            # A broken way there answers so, too, and would end everybody's mandates for good.
            by_bank = isinstance(_json(answer, {404}).get("code"), str)
            return MandateReply(state=MandateState.NOT_FOUND if by_bank else MandateState.UNKNOWN)
        told = _json(answer, expected)
        ref, url = told.get("mandate_ref"), told.get("sign_url")
        return MandateReply(
            state=_MANDATE.get(str(told.get("state")), MandateState.UNKNOWN),
            mandate_ref=ref if isinstance(ref, str) else None,
            sign_url=url if isinstance(url, str) else None,
        )

    def write_batch(self, batch: Batch) -> bytes:
        write = write_pain_008 if self._iso20022 else write_fixed
        return write(batch, self._creditor)

    def hand_over(self, batch_no: str, content: bytes) -> HandOverReply:
        answer = self._call("PUT", f"/bank/batches/{quote(batch_no)}", content)
        if answer is None:
            return HandOverReply(HandOver.UNKNOWN)
        told = _json(answer, {200, 201, 409, 422})
        complaint = str(told.get("message", ""))[:500]
        refused = answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY and told.get("code")
        if refused and complaint:  # in the bank's own words: others are on the way, too
            return HandOverReply(HandOver.REFUSED, complaint)
        if answer.status_code == httpx.codes.CONFLICT:  # what is in the file it has, we cannot know
            return HandOverReply(HandOver.UNKNOWN, complaint)
        taken = answer.is_success and told.get("batch_no") == batch_no
        return HandOverReply(HandOver.TAKEN if taken else HandOver.UNKNOWN)

    def list_returns(self) -> list[str] | None:
        files = _json(self._call("GET", "/bank/returns"), {200}).get("files")
        if isinstance(files, list) and all(isinstance(one, str) for one in files):
            return files
        return None

    def fetch_returns(self, file_no: str) -> bytes | None:
        answer = self._call("GET", f"/bank/returns/{quote(file_no)}")
        return answer.content if answer is not None and answer.status_code == 200 else None

    def read_returns(self, content: bytes) -> ReturnFile:
        return read_returns(content, self._creditor)

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> Callback | None:
        raise Invalid(
            "the bank does not call back: its files are fetched", code="callback.malformed"
        )

    def answer_callback(self, *, taken: bool) -> CallbackAnswer:
        return CallbackAnswer() if taken else CallbackAnswer(status_code=400)

    def fetch_settlement(self, day: date) -> SettlementFetch:
        answer = self._call("GET", f"/bank/settlements/{day}.csv")
        if answer is None or answer.status_code not in {200, 404}:
            return SettlementFetch(FileState.UNKNOWN)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return SettlementFetch(FileState.NOT_YET)
        return SettlementFetch(FileState.READY, f"bank-debit-{day}.csv", answer.content)

    def read_settlement(self, stream: BinaryIO, *, day: date) -> Iterator[SettlementRecord]:
        rows = read_day_file(
            stream.read(), title="#BANK DEBIT DAY", day=day, columns=_COLUMNS,
            read_row=_settled, amount_of=lambda row: row.amount_fen,
        )  # fmt: skip
        return iter(rows)

    def hang_up(self) -> None:
        self._http.close()

    def _call(
        self, method: str, path: str, body: dict[str, Any] | bytes = b""
    ) -> httpx.Response | None:
        """Send one signed request; None when the bank may have acted and did not tell."""
        content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        seconds = str(int(self._clock().timestamp()))
        signed = f"{seconds}\n{method}\n{path}\n{hashlib.sha256(content).hexdigest()}"
        kind = "application/json" if not isinstance(body, bytes) else (
            "application/xml" if content[:1] == b"<" else "text/plain"
        )  # fmt: skip
        headers = {
            "x-bank-time": seconds,
            "x-bank-signature": crypto.sign(self._secret, signed.encode()),
            "content-type": kind,
        }
        try:
            return self._http.request(method, path, content=content, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as down:
            raise UpstreamUnavailable("the bank cannot be reached") from down
        except httpx.HTTPError:
            return None


def reason_of(code: str) -> str:
    """Return a return's reason; it begins as ``Debiting.debit`` says when it is for good."""
    return f"mandate_ended: {code}" if code in ENDS_MANDATE else f"returned: {code}"


def _settled(fields: dict[str, str], line_no: int) -> SettlementRecord:
    kind, amount_fen = fields["kind"], yuan(fields["amount"])
    if kind not in {"payment", "chargeback"} or (amount_fen < 0) != (kind == "chargeback"):
        raise ValueError("kind is payment, above zero, or chargeback, below")
    return SettlementRecord(
        line_no=line_no, kind=kind, reference=fields["order_no"],
        gateway_ref=fields["order_no"], amount_fen=amount_fen, fee_fen=0,
        happened_at=moment(fields["happened_at"]),
    )  # fmt: skip


def _json(answer: httpx.Response | None, expected: frozenset[int] | set[int]) -> dict[str, Any]:
    if answer is None or answer.status_code not in expected:
        return {}
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def from_settings(settings: Settings) -> BankDebit | None:
    """Make the gateway, if the city has a bank that collects.

    Raises:
        Invalid: it would be spoken to in the open, in production: the bank signs nothing.
    """
    if not settings.bank_debit_url:
        return None
    in_the_open = not settings.bank_debit_url.startswith("https://")
    if settings.environment is Environment.PRODUCTION and in_the_open:
        raise Invalid("CITYBILL_BANK_DEBIT_URL must be an https address in production")
    creditor = Creditor(settings.bank_debit_creditor, settings.bank_debit_account)
    return BankDebit(
        settings.bank_debit_url, settings.bank_debit_secret.get_secret_value(), creditor,
        iso20022=settings.bank_debit_xml, silence_days=settings.bank_debit_silence_days,
    )  # fmt: skip
