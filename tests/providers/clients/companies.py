"""The four companies of the simulator, each the real process on a real port."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path

import httpx

from core.clock import utc_now
from core.settings import UtilityApi
from providers.base import FetchOutcome, OpenBill, ReversalOrder, UtilityClient, WriteOffOrder
from providers.clients.loading import _client, entry_points
from simulator.city import City
from simulator.faults import Fault, FaultSwitch
from simulator.utility import switchboard
from simulator.utility_books import closed_number, shared_number
from tests.simulator.conftest import free_port, until

SECRET = "agreed-for-these-tests"
PATHS = {"water": "", "power": "/epay", "gas": "", "telecom": "/open"}
_serial = count(1)


@dataclass
class FarCompany:
    """One company's process, and how a client of it is made; what the contract needs to know.

    ``fresh_accounts`` yields account numbers with two open bills each; ``unknown_account`` is
    nobody's, ``shared_account`` that of several, ``closed_account`` a closed one's.
    """

    code: str
    url: str
    make_client: Callable[[], UtilityClient]
    unknown_account: str
    shared_account: str
    closed_account: str
    data_dir: Path
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(3, 900)))

    def switch(self, fault: str, operation: str | None = None, times: int | None = None) -> None:
        """Make the company misbehave, or behave again."""
        body = {"fault": fault, "operation": operation, "times": times}
        httpx.post(f"{self.url}/faults", json=body).raise_for_status()

    def fresh_account(self) -> tuple[str, tuple[OpenBill, ...]]:
        """Return an account nobody has touched, with its two open bills."""
        client = self.make_client()
        for number in self.numbers:
            account_no = City().household(number).account_no(self.code)
            reply = client.fetch(account_no)
            if reply.outcome is FetchOutcome.MULTIPLE:
                client.close()  # type: ignore[attr-defined]
                return account_no, reply.bills
        raise AssertionError("no account is left")

    def is_listening(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/healthz", timeout=1).is_success
        return False

    def wait(self, *, listening: bool) -> None:
        until(lambda: self.is_listening() is listening, within_seconds=30)

    def recover(self) -> None:
        """Switch a company that is down on again, and wait until somebody listens."""
        switchboard(self.data_dir, self.code).set(FaultSwitch(fault=Fault.NONE))
        self.wait(listening=True)


def order_of(account_no: str, bill: OpenBill, **changes: object) -> WriteOffOrder:
    facts = {
        "write_off_no": f"WO-{next(_serial)}", "account_no": account_no, "bill_no": bill.bill_no,
        "billing_month": bill.billing_month, "amount_fen": bill.amount_fen, "paid_at": utc_now(),
    }  # fmt: skip
    return WriteOffOrder(**facts | changes)


def reversal_of(order: WriteOffOrder, **changes: object) -> ReversalOrder:
    facts = {
        "reversal_no": f"RV-{next(_serial)}", "write_off_no": order.write_off_no,
        "account_no": order.account_no, "bill_no": order.bill_no, "amount_fen": order.amount_fen,
    }  # fmt: skip
    return ReversalOrder(**facts | changes)


def bills_in_the_city(code: str, account_no: str, months: set[date]) -> dict[str, int]:
    """Return bill numbers and amounts as the city made them, without asking the company."""
    city = City()
    number = city.find(code, account_no)
    assert number is not None
    return {
        bill.bill_no: bill.amount_fen
        for month in months
        for bill in city.bills_of(number, month)
        if bill.account_no == account_no
    }


def client_of(code: str, base_url: str, secret: str = SECRET) -> UtilityClient:
    """Return a company's client without its guard."""
    point = next((one for one in entry_points(group="citybill.utility_clients")
                  if one.name == code), None)  # fmt: skip
    return _client(code, UtilityApi(base_url=base_url, secret=secret), utc_now, point)


@contextmanager
def running_company(code: str, data_dir: Path, *options: str) -> Iterator[FarCompany]:
    """Run one company, and stop it as a signal would."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator.utility", code, "--port", str(port),
         "--data", str(data_dir), "--secret", SECRET, *options],
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    company = FarCompany(
        code=code, url=url, make_client=lambda: client_of(code, url + PATHS[code]),
        unknown_account=closed_number(code)[:-1] + "7", shared_account=shared_number(code),
        closed_account=closed_number(code), data_dir=data_dir,
    )  # fmt: skip
    try:
        company.wait(listening=True)
        yield company
    finally:
        process.terminate()
        assert process.wait(timeout=10) != 1
