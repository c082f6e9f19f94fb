"""Differences of every class among clean rows: all are found, under their class, none invented."""

import io
from datetime import datetime

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from bench.reconcile_city import DAY, yuan
from core.db import transaction
from payments.gateways.bulk import Unusual, blocks
from payments.reconciliation.models import Leg
from tests.conftest import empty_city
from tests.factories import a_home, a_paid_payment, at_once
from tests.planted import DAYS, FILES, GatewayLeg, compare, prove_leg, spoilt

COLUMNS = "kind,order_no,gateway_ref,refund_no,refund_ref,amount,fee,happened_at"


@pytest.mark.parametrize("kind", DAYS, ids=lambda kind: kind.name)
def test_every_planted_difference_is_found_and_nothing_else(city, kind):
    found = prove_leg(city, kind, rows=2_000, each=6, seed=11)

    assert (found.missed, found.invented) == ([], [])


@pytest.fixture(scope="class")
def planted(database_url):
    with psycopg.connect(database_url, autocommit=True) as owner:
        yield spoilt(owner, GatewayLeg, 200, 3, seed=5)
    empty_city()


class TestNeitherOrderNorRepetitionMatters:
    @settings(max_examples=6)
    @given(data=st.data())
    def test_a_file_says_the_same_in_any_order_and_however_often(self, planted, data):
        found = []
        for _ in range(data.draw(st.integers(1, 3))):
            told = data.draw(st.permutations(planted.told))
            for _ in range(data.draw(st.integers(1, 2))):
                GatewayLeg.run(GatewayLeg.file(told))
                found.append(compare(Leg.GATEWAY, planted, 200, seconds=0))

        assert {(*one.missed, *one.invented) for one in found} == {()}

    def test_nor_does_what_was_told_before_it(self, planted):
        clean_of_all = [row for row in planted.told if b"nobodys" not in row]
        GatewayLeg.run(GatewayLeg.file(clean_of_all[::2]))

        GatewayLeg.run(GatewayLeg.file(planted.told))

        found = compare(Leg.GATEWAY, planted, 200, seconds=0)
        assert (found.missed, found.invented) == ([], [])


class TestAtOneMoment:
    def test_two_runs_of_a_day_leave_what_one_leaves(self, city):
        with psycopg.connect(city, autocommit=True) as owner:
            planted = spoilt(owner, GatewayLeg, 500, 4, seed=3)
        content = GatewayLeg.file(planted.told)
        other = GatewayLeg.file(planted.told[::-1])

        ended = at_once([lambda each=each: GatewayLeg.run(each) for each in (content, other) * 2])

        assert ended == [None] * 4
        found = compare(Leg.GATEWAY, planted, 500, seconds=0)
        assert (found.missed, found.invented) == ([], [])
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM settlement_file")).scalar_one() == 2

    def test_a_run_and_payments_that_are_made_meanwhile(self, city):
        with psycopg.connect(city, autocommit=True) as owner:
            planted = spoilt(owner, GatewayLeg, 500, 4, seed=3)
            for numbers in ("payment_no", "utility_account_id_seq"):  # what is planted has some
                owner.execute("SELECT setval(%s, 1000000)", (numbers,))
        content = GatewayLeg.file(planted.told)
        homes = [a_home(100) for _ in range(6)]

        def pay(home):
            return a_paid_payment(home).id

        acts = [lambda home=home: pay(home) for home in homes]
        ended = at_once([lambda: GatewayLeg.run(content), *acts])

        assert [one for one in ended if isinstance(one, Exception)] == []
        GatewayLeg.run(content)
        found = compare(Leg.GATEWAY, planted, 500, seconds=0)
        assert found.missed == []
        assert {kind for kind, _ in found.invented} == {"missing_at_gateway"}
        assert len(found.invented) == len(homes)


class TestReadByColumns:
    """A file read by columns is what it is row by row, or is left to be read so."""

    @settings(max_examples=200)
    @given(data=st.data())
    def test_it_says_the_same(self, data):
        cells = st.sampled_from([
            "payment", "refund", "PAYMENT", "", "CB1", "x", '"', "a,b", "1.00", "-1.00", "-0.00",
            "1", "0.333", "12345678901.00", "2026-11-20T04:00:00Z", "2026-13-20T04:00:00Z",
            "2026-11-20T04:00:60Z", "2026-11-20T12:00:00+08:00", "\\", "\t", "户",
        ])  # fmt: skip
        good = ["payment", "CB1", "sbx", "", "", "1.00", "0.06", "2026-11-20T04:00:00Z"]
        rows = []
        for _ in range(data.draw(st.integers(0, 4))):
            row = list(good)
            if data.draw(st.booleans()):
                row[data.draw(st.integers(0, 7))] = data.draw(cells)
            end = data.draw(st.sampled_from([b"\r\n"] * 5 + [b"\n"]))
            rows.append(",".join(row).encode() + end)
        total = f"#TOTAL,{len(rows)},{len(rows)}.00,{yuan(6 * len(rows))}\r\n"
        head = f"#SANDBOX SETTLEMENT,{DAY}\r\n{COLUMNS}\r\n".encode()
        content = head + b"".join(rows) + data.draw(st.sampled_from([total.encode(), b""]))

        try:
            by_columns = b"".join(FILES.read_bulk(content, day=DAY, file_id=7))
        except Unusual:
            return
        by_rows = b"".join(blocks(FILES.read_settlement(io.BytesIO(content), day=DAY), file_id=7))
        assert as_values(by_columns) == as_values(by_rows)

    def test_a_minute_of_sixty_one_seconds_is_left_to_be_read_row_by_row(self):
        row = "payment,CB1,sbx,,,1.00,0.06,2026-11-20T04:00:60Z"
        content = f"#SANDBOX SETTLEMENT,{DAY}\r\n{COLUMNS}\r\n{row}\r\n#TOTAL,1,1.00,0.06\r\n"

        with pytest.raises(Unusual):
            list(FILES.read_bulk(content.encode(), day=DAY, file_id=7))


def as_values(lines: bytes) -> list[list[str]]:
    """COPY's lines as what they mean: a moment may be written in more than one way."""
    told = [line.split("\t") for line in lines.decode().splitlines()]
    return [[*row[:7], datetime.fromisoformat(row[7]).isoformat(), *row[8:]] for row in told]
