"""A day's list of write-offs from the simulator's four companies, each a process on a real port."""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from core.clock import billing_date, utc_now
from core.errors import ConfirmationFileError, NotFound, UpstreamUnavailable
from providers.base import (
    Confirmation,
    ConfirmationFetch,
    ConfirmationKind,
    ConfirmationSource,
    ConfirmationState,
    FetchReply,
    WriteOffOutcome,
)
from providers.clients import http
from providers.clients.declarations import load_declaration
from providers.clients.declared import APIS, DeclaredClient
from providers.clients.guarded import GuardedClient, Limits
from providers.confirmations import ConfirmationFile, read_confirmations
from providers.registry import get_provider
from simulator.companies import COMPANIES
from simulator.faults import Fault
from simulator.journal import Journal
from simulator.utility import journal_path
from simulator.utility_books import UtilityBooks, WriteOffRequest
from tests.providers.clients.companies import (
    PATHS,
    FarCompany,
    client_of,
    order_of,
    running_company,
)
from tests.providers.test_write_off_http import SECRET, Company, company

__all__ = ["company"]  # a fixture
READY, NOT_YET, NO_DATA, UNKNOWN = ConfirmationState
DONE, REVERSED, REFUSED = ConfirmationKind
DAY, EMPTY_DAY, LONG_DAY = date(2026, 3, 10), date(2026, 3, 9), date(2026, 3, 12)
LONG = 1_200  # rows: more than any other answer may have
TELLS_REFUSALS = ("water", "gas")
LIMITS = Limits(calls_per_second=100, burst=100, failures_to_open=2, seconds_to_half_open=60)


def remember(code: str, folder: Path) -> None:
    """Have the company remember a day that is long over: its first and last second, and a no."""
    journal = Journal(journal_path(folder, code))
    books = UtilityBooks(code, journal)
    first = datetime(2026, 3, 9, 16, 0, 0, tzinfo=UTC)
    moments = (first, first + timedelta(hours=24, seconds=-1), first + timedelta(hours=24))
    for at, moment in enumerate(moments):
        asked = WriteOffRequest(
            write_off_no=f"W26030000000{at}-01",
            account_no="1" * COMPANIES[code].account_digits,
            bill_no=f"B-{at}", billing_month="2026-02", amount_fen=1_000 + at, paid_at=moment,
        )  # fmt: skip
        books.receive(asked, Fault.NONE, now=moment)
    refused = asked.model_copy(update={"write_off_no": "W26039", "bill_no": "B-9"})
    books.receive(refused, Fault.REFUSE, now=first + timedelta(hours=1))
    for at in range(LONG):
        one = asked.model_copy(update={"write_off_no": f"W2603L{at:06d}", "bill_no": f"L-{at}"})
        books.receive(one, Fault.NONE, now=first + timedelta(days=2, seconds=at))
    journal.close()


@pytest.fixture(scope="module", params=PATHS)
def far(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FarCompany]:
    folder = tmp_path_factory.mktemp(request.param)
    remember(request.param, folder)
    with running_company(request.param, folder, "--slow-ms", "3000") as company:
        yield company


@pytest.fixture
def client(far: FarCompany) -> Iterator[ConfirmationSource]:
    made = far.make_client()
    assert isinstance(made, ConfirmationSource)
    yield made
    far.switch("none")
    made.close()  # type: ignore[attr-defined]


def listed(code: str, told: ConfirmationFetch, day: date = DAY) -> ConfirmationFile:
    assert told.state is READY, told
    layout = get_provider(code).confirmation
    assert layout is not None
    return read_confirmations(io.BytesIO(told.content), layout, day=day)


def booked(file: ConfirmationFile) -> list[tuple[str, str, int]]:
    return [(row.kind, row.write_off_no, row.amount_fen) for row in file if row.kind != REFUSED]


FIRST, LAST = (DONE, "W260300000000-01", 1_000), (DONE, "W260300000001-01", 1_001)


class TestADay:
    def test_is_told_from_its_first_to_its_last_second(
        self, far: FarCompany, client: ConfirmationSource
    ):
        assert client.gives_confirmations
        file = listed(far.code, client.fetch_confirmations(DAY))

        assert booked(file) == [FIRST, LAST]
        assert (file.sum_fen, file.reject_count, file.is_proven) == (2_001, 0, True)
        one = next(iter(file))
        assert one.written_off_at == datetime(2026, 3, 9, 16, 0, tzinfo=UTC)
        assert (one.account_no, one.bill_no) == ("1" * COMPANIES[far.code].account_digits, "B-0")
        assert one.receipt_no == f"{far.code[0].upper()}2026030900000001"

    def test_has_what_was_refused_for_good_where_the_company_tells_it(
        self, far: FarCompany, client: ConfirmationSource
    ):
        refused = [row for row in listed(far.code, client.fetch_confirmations(DAY))
                   if row.kind is REFUSED]  # fmt: skip

        assert [row.write_off_no for row in refused] == ["W26039"] * (far.code in TELLS_REFUSALS)
        assert all(row.reason and not row.receipt_no for row in refused)

    def test_comes_whole_however_long(self, far: FarCompany, client: ConfirmationSource):
        file = listed(far.code, client.fetch_confirmations(LONG_DAY), LONG_DAY)

        assert [row.row_no for row in file] == list(range(1, LONG + 1))
        assert file.sum_fen == LONG * 1_002

    def test_that_is_not_over_has_none_yet(self, client: ConfirmationSource):
        told = client.fetch_confirmations(billing_date(utc_now()) + timedelta(days=2))

        assert told == ConfirmationFetch(state=NOT_YET)

    def test_on_which_nothing_happened_is_another_answer(
        self, far: FarCompany, client: ConfirmationSource
    ):
        told = client.fetch_confirmations(EMPTY_DAY)

        if far.code == "gas":  # sends a list of nothing
            assert list(listed("gas", told, EMPTY_DAY)) == []
        else:
            assert told == ConfirmationFetch(state=NO_DATA)

    def test_has_what_was_written_off_over_the_wire_and_what_was_refused_in_a_lie(
        self, far: FarCompany, client: ConfirmationSource
    ):
        account_no, (older, newer) = far.fresh_account()
        teller, days = far.make_client(), {billing_date(utc_now())}
        accepted, denied = order_of(account_no, older), order_of(account_no, newer)
        reply = teller.write_off(accepted)
        far.switch("lies_failed", "write_off", 1)
        assert teller.write_off(denied).outcome is WriteOffOutcome.REFUSED
        teller.close()  # type: ignore[attr-defined]
        days.add(billing_date(utc_now()))  # midnight may have passed

        rows: list[Confirmation] = []
        for day in sorted(days):
            told = client.fetch_confirmations(day)
            rows += [] if told.state is NO_DATA else listed(far.code, told, day)

        told_of = {row.write_off_no: row for row in rows}
        assert told_of[accepted.write_off_no].receipt_no == reply.utility_ref
        assert told_of[accepted.write_off_no].amount_fen == older.amount_fen
        assert told_of[denied.write_off_no].kind is DONE


class TestWhatGoesWrong:
    @pytest.mark.parametrize(
        ("fault", "rows"),
        [
            ("missing", [FIRST]),
            ("wrong_amount", [(DONE, "W260300000000-01", 1_001), LAST]),
            ("extra", [FIRST, LAST, (DONE, "unknown-20260310", 1_234)]),
            ("reversed", [FIRST, LAST, (REVERSED, "W260300000000-01", -1_000)]),
            ("twice", [FIRST, FIRST, LAST, LAST]),
        ],
    )
    def test_in_a_row_is_read_as_it_is_told(
        self, far: FarCompany, client: ConfirmationSource, fault: str, rows: list[object]
    ):
        far.switch(fault, "confirmations", 1)

        spoilt, sound = client.fetch_confirmations(DAY), client.fetch_confirmations(DAY)

        assert booked(listed(far.code, spoilt)) == rows
        assert booked(listed(far.code, sound)) == [FIRST, LAST]

    def test_with_a_list_that_is_late_is_not_yet(self, far: FarCompany, client: ConfirmationSource):
        far.switch("not_yet", "confirmations", 1)

        assert client.fetch_confirmations(DAY) == ConfirmationFetch(state=NOT_YET)

    def test_with_a_list_that_was_cut_refuses_it(self, far: FarCompany, client: ConfirmationSource):
        far.switch("truncated", "confirmations", 1)
        told = client.fetch_confirmations(DAY)

        with pytest.raises(ConfirmationFileError):
            listed(far.code, told)

    @pytest.mark.parametrize("fault", ["error", "silent", "slow", "drip", "garbage"])
    def test_with_the_answer_is_not_knowing(
        self, far: FarCompany, monkeypatch: pytest.MonkeyPatch, fault: str
    ):
        monkeypatch.setattr(http, "_FILE_TIMEOUT", httpx.Timeout(1))
        monkeypatch.setattr(http, "_FILE_PATIENCE_SECONDS", 1)
        client = far.make_client()
        assert isinstance(client, ConfirmationSource)
        far.switch(fault, "confirmations", 1)

        told = client.fetch_confirmations(DAY)

        far.switch("none")
        client.close()  # type: ignore[attr-defined]
        assert (told.state, told.content) == (UNKNOWN, b"")
        assert told.reason
        assert told.company_down is (fault != "garbage")

    def test_with_the_key_tells_nothing(self, far: FarCompany):
        stranger = client_of(far.code, far.url + PATHS[far.code], "guessed")
        assert isinstance(stranger, ConfirmationSource)

        if far.code == "telecom":
            with pytest.raises(UpstreamUnavailable, match="no token"):
                stranger.fetch_confirmations(DAY)
        else:
            told = stranger.fetch_confirmations(DAY)
            assert (told.state, told.company_down) == (UNKNOWN, False)
            assert "401" in (told.reason or "")
        stranger.close()  # type: ignore[attr-defined]

    def test_with_the_whole_company_was_never_asked(
        self, far: FarCompany, client: ConfirmationSource
    ):
        far.switch("down")
        far.wait(listening=False)

        with pytest.raises(UpstreamUnavailable, match="try again later"):
            client.fetch_confirmations(DAY)

        far.recover()
        assert client.fetch_confirmations(DAY).state is READY

    def test_while_write_offs_fail_the_list_is_told_all_the_same(
        self, far: FarCompany, client: ConfirmationSource
    ):
        far.switch("error", "write_off")

        assert client.fetch_confirmations(DAY).state is READY


class TestAnAnswerThatIsNoList:
    """Whatever is neither the list nor one of the agreed words is not knowing."""

    @pytest.fixture
    def told(self, company: tuple[type[Company], str]) -> Iterator[Callable[..., object]]:
        handler, url = company
        clients = []

        def ask(code: str, status: int, media_type: str, body: bytes) -> ConfirmationFetch:
            def answer(far: Company) -> None:
                far.send_response(status)
                far.send_header("Content-Type", media_type)
                far.send_header("Content-Length", str(len(body)))
                far.end_headers()
                far.wfile.write(body)

            handler.do_GET = answer  # type: ignore[method-assign]
            says = load_declaration(APIS / f"{code}.toml")
            clients.append(DeclaredClient(says, url, SECRET, utc_now))
            return clients[-1].fetch_confirmations(DAY)

        yield ask
        for client in clients:
            client.close()

    @pytest.mark.parametrize(
        ("code", "status", "media_type", "body"),
        [
            ("citybill", 404, "text/html", b"<h1>404 Not Found</h1>"),
            ("citybill", 200, "text/html", b"<h1>sign in</h1>"),
            ("citybill", 200, "application/json", b'{"result": "not_yet"}'),
            ("citybill", 404, "application/json", b'{"result": "no_data"}'),
            ("citybill", 302, "text/csv", b"a,b"),
            ("power", 200, "application/json", b'{"head": {"resultCode": "5001"}}'),
            ("gas", 200, "application/xml", b"<Response><Code>25</Code></Response>"),
        ],
    )
    def test_is_not_knowing(self, told, code, status, media_type, body):
        answer = told(code, status, media_type, body)

        assert (answer.state, answer.content, answer.company_down) == (UNKNOWN, b"", False)
        assert answer.reason

    def test_is_a_company_that_says_it_is_busy(self, told):
        busy = told("gas", 200, "application/xml", b"<Response><Code>98</Code></Response>")

        assert (busy.state, busy.company_down) == (UNKNOWN, True)

    def test_is_longer_than_anybody_takes(self, told, monkeypatch):
        monkeypatch.setattr(http, "FILE_LIMIT", 1_000)

        assert told("citybill", 200, "text/csv", b"x" * 1_000).state is READY
        assert told("citybill", 200, "text/csv", b"x" * 1_001).state is UNKNOWN

    def test_nobody_asks_a_company_that_declares_none(self, company, tmp_path):
        text = (APIS / "citybill.toml").read_text("utf-8")
        (tmp_path / "mine.toml").write_text(text[: text.index("[confirmations]")], "utf-8")
        client = DeclaredClient(load_declaration(tmp_path / "mine.toml"), company[1], "s", utc_now)

        assert not client.gives_confirmations
        with pytest.raises(NotFound, match="ask it for the file"):
            client.fetch_confirmations(DAY)
        client.close()


class TestBehindItsGuard:
    """A company is left alone with this question as with any other."""

    class Bare:
        def fetch(self, _account_no: str) -> FetchReply:
            raise AssertionError

    class Failing(Bare):
        gives_confirmations = True

        def fetch_confirmations(self, _day: date) -> ConfirmationFetch:
            return ConfirmationFetch(state=UNKNOWN, reason="HTTP 500", company_down=True)

    def test_failures_open_the_circuit(self):
        guarded = GuardedClient(self.Failing(), LIMITS, utc_now)  # type: ignore[arg-type]

        assert [guarded.fetch_confirmations(DAY).state for _ in range(2)] == [UNKNOWN, UNKNOWN]

        assert guarded.is_open
        with pytest.raises(UpstreamUnavailable, match="nothing was sent"):
            guarded.fetch_confirmations(DAY)

    def test_a_company_without_lists_says_so(self):
        guarded = GuardedClient(self.Bare(), LIMITS, utc_now)  # type: ignore[arg-type]

        assert not guarded.gives_confirmations
        with pytest.raises(NotFound) as raised:
            guarded.fetch_confirmations(DAY)
        assert raised.value.code == "utility.no_confirmations"
