"""Asking UnionPay: one signed message, and what its answer is worth.

Source: docs/wire/unionpay.md, "A message" and "Times and numbers".
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx

from core.clock import BILLING_ZONE
from core.errors import UpstreamUnavailable
from payments.gateways.unionpay_signing import Keys, read_answer

_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_SHORTEST = 8
_HYPHEN = "x"  # a letter no number of ours has
FRONT, BACK, QUERY = (f"/gateway/api/{name}.do" for name in ("frontTransReq", "backTransReq",
                                                            "queryTrans"))  # fmt: skip


class Told(NamedTuple):
    """A verified answer. ``code`` 00: it was taken up."""

    code: str
    facts: Mapping[str, str]

    def text(self, name: str) -> str:
        """Return a member; empty where there is none."""
        return self.facts.get(name, "")


class Line:
    """One merchant at UnionPay.

    Args:
        url: of its gateway.
        files_url: where its files are asked for.
        clock: says whether its certificates are of now.
    """

    def __init__(
        self, url: str, files_url: str, mer_id: str, keys: Keys, *, clock: Callable[[], datetime]
    ) -> None:
        self._url, self._files_url = url.rstrip("/"), files_url
        self._mer_id, self._keys, self._clock = mer_id, keys, clock
        self._http = httpx.Client(timeout=httpx.Timeout(5, connect=2), trust_env=False)

    @property
    def front_url(self) -> str:
        """Where a payer's browser posts a form to."""
        return f"{self._url}{FRONT}"

    def now(self) -> datetime:
        return self._clock()

    def signed(self, kind: str, **fields: str) -> dict[str, str]:
        """Return a message with our signature.

        Args:
            kind: its txnType, txnSubType and bizType, with slashes between.
        """
        txn_type, sub_type, biz_type = kind.split("/")
        return self._keys.signed(
            {
                "version": "5.1.0",
                "encoding": "UTF-8",
                "txnType": txn_type,
                "txnSubType": sub_type,
                "bizType": biz_type,
                "accessType": "0",
                "merId": self._mer_id,
                **fields,
            }
        )

    def ask(self, path: str, kind: str, **fields: str) -> Told | None:
        """Ask, and return the answer; None when UnionPay may have acted and we do not know.

        Args:
            path: below its gateway; empty: where its files are.

        Raises:
            UpstreamUnavailable: the request never left us.
        """
        url = f"{self._url}{path}" if path else self._files_url
        try:
            answer = self._http.post(url, data=self.signed(kind, **fields))
        except _NEVER_LEFT as down:
            raise UpstreamUnavailable("UnionPay cannot be reached") from down
        except httpx.HTTPError:
            return None
        if answer.status_code != httpx.codes.OK:
            return None
        try:
            facts = read_answer(answer.content.decode())
        except UnicodeDecodeError:
            return None
        if facts is None or not self._keys.unionpay_signed(facts, now=self._clock()):
            return None
        # An answer to something else may be well signed, too.
        asked = {"merId": self._mer_id, **fields}
        if any(facts.get(name) != asked.get(name) for name in ("merId", "orderId", "txnTime")):
            return None
        return Told(facts.get("respCode", ""), facts)

    def hang_up(self) -> None:
        """Let go of open connections."""
        self._http.close()


def beijing_stamp(moment: datetime) -> str:
    """Render a moment as ``20261120120003``, Beijing's."""
    return moment.astimezone(BILLING_ZONE).strftime("%Y%m%d%H%M%S")


def read_stamp(text: str, *, year: int) -> datetime:
    """Read ``1120120003``, Beijing's, in a year; ValueError for anything else."""
    if len(text) != 10 or not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is no MMDDhhmmss")
    moment = datetime.strptime(f"{year}{text}", "%Y%m%d%H%M%S")  # noqa: DTZ007  its zone is known
    return moment.replace(tzinfo=BILLING_ZONE).astimezone(UTC)


def stamp_after(text: str, earliest: datetime) -> datetime:
    """Read ``1120120003`` as the first such moment since another, or a day before it.

    Raises:
        ValueError: no such moment in that year or the next.
    """
    first_year = earliest.astimezone(BILLING_ZONE).year - 1
    for year in range(first_year, first_year + 3):
        try:
            moment = read_stamp(text, year=year)
        except ValueError:  # 29 February is not in every year
            continue
        if moment >= earliest - timedelta(days=1):
            return moment
    raise ValueError(f"{text!r} is no MMDDhhmmss")


def order_id(number: str) -> str:
    """Return a number of ours as UnionPay takes it: eight letters and digits at least."""
    return number.replace("-", _HYPHEN).rjust(_SHORTEST, _HYPHEN)


def our_number(order_id: str) -> str:
    """Return the number of ours that UnionPay's ``orderId`` stands for."""
    return order_id.lstrip(_HYPHEN).replace(_HYPHEN, "-")
