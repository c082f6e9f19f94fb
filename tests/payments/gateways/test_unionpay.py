"""UnionPay, held to the contract against the far side, and its protocol by hand-made facts."""

import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from core.clock import billing_date, utc_now
from core.errors import Invalid, NotAllowed
from core.settings import Environment, Settings
from payments.gateways.base import (
    Asked,
    CallbackKind,
    FileState,
    Gateway,
    GatewayReply,
    GatewayStatus,
    RefundOrder,
    RefundState,
    Scene,
)
from payments.gateways.unionpay import Merchant, UnionPay, from_settings
from payments.gateways.unionpay_signing import read_keys
from tests.payments.gateways.contract import (
    FarSide,
    GatewayContract,
    a_refund,
    an_order,
    asked,
    settled,
)
from tests.payments.gateways.unionpay_keys import MER_ID, SIGNER, Certified, FarKeys, answering
from tests.simulator.conftest import Simulator, until

US = Merchant(mer_id=MER_ID)
NOON = datetime(2026, 11, 20, 4, 0, 0, tzinfo=UTC)


def gateway_at(url: str, keys: FarKeys, *, now: datetime | None = None) -> UnionPay:
    ours = read_keys(
        keys.ours.private_pem, keys.ours.pem, keys.root.pem, keys.middle.pem, signer=SIGNER
    )
    clock = utc_now if now is None else lambda: now
    return UnionPay(f"{url}/unionpay", f"{url}/unionpay/files/", US, ours, clock=clock)


def page_of(client: httpx.Client, opened: GatewayReply) -> str:
    """Go as a payer goes: scan the code, or post the form."""
    if opened.pay_code:
        return opened.pay_code
    shown = client.post(opened.pay_url, data=dict(opened.pay_fields))
    assert shown.status_code == 303, shown.text
    return shown.headers["location"]


def press(client: httpx.Client, opened: GatewayReply, choice: str) -> None:
    page = page_of(client, opened)
    assert client.get(page).status_code == 200
    answered = client.post(page, data={"choice": choice})
    assert answered.status_code == 303, answered.text


@pytest.fixture(scope="module")
def keys(simulator: Simulator) -> FarKeys:
    made = FarKeys.make()
    made.lay(simulator.data_dir / "keys")
    return made


@pytest.fixture(scope="module")
def far(simulator: Simulator, keys: FarKeys) -> Iterator[FarSide]:
    made: list[UnionPay] = []
    client = simulator.client

    def at(url: str) -> Gateway:
        made.append(gateway_at(url, keys))
        return made[-1]

    def fault(order_no: str, name: str) -> None:
        told = client.post("/unionpay/faults", json={"order_no": order_no, "fault": name})
        assert told.status_code == 204, told.text

    def settlement() -> bytes:
        """Give today's files, and after 23:00 those of the day UnionPay has by then begun."""
        today = billing_date(utc_now())
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w") as archive:
            for day in (today, today + timedelta(days=1)):
                answer = client.get(f"/unionpay/downloads/{day}.zip")
                if answer.status_code == 200:
                    with zipfile.ZipFile(io.BytesIO(answer.content)) as part:
                        for name in part.namelist():
                            archive.writestr(f"{day}/{name}", part.read(name))
        return whole.getvalue()

    yield FarSide(
        at(str(client.base_url).rstrip("/")), at,
        lambda _, opened, choice: press(client, opened, choice),
        settlement, fault, scene=Scene.SCREEN,
    )  # fmt: skip
    for one in made:
        one.hang_up()


class TestUnionpay(GatewayContract):
    pass


class TestScenes:
    @pytest.mark.parametrize("scene", list(Scene))
    def test_every_scene_has_a_way_to_pay_and_ends_paid(self, far, scene):
        order = an_order(scene=scene)

        opened = far.gateway.open_order(order)
        far.choose(order, opened, "nothing")

        told = far.gateway.query(asked(order, opened))
        assert (told.status, told.amount_fen) == (GatewayStatus.PAID, 8_650)
        assert told.gateway_ref is not None
        assert len(told.gateway_ref) == 21
        assert bool(opened.pay_code) is (scene is Scene.SCREEN)
        assert bool(opened.pay_fields) is bool(opened.pay_url) is (scene is not Scene.SCREEN)

    def test_the_form_is_what_unionpay_asks_for(self, far):
        order = an_order(
            order_no="CB2611000000000001", asked_at=NOON, expires_at=NOON + timedelta(minutes=30)
        )

        fields = far.gateway.open_order(order).pay_fields

        assert {name: fields[name] for name in fields if name not in ("signature", "certId")} == {
            "version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "txnType": "01",
            "txnSubType": "01", "bizType": "000201", "channelType": "07", "accessType": "0",
            "merId": MER_ID, "orderId": "CB2611000000000001", "txnTime": "20261120120000",
            "txnAmt": "8650", "currencyCode": "156", "payTimeout": "20261120123000",
            "frontUrl": order.return_url, "backUrl": order.notify_url,
        }  # fmt: skip
        assert far.gateway.open_order(order).pay_fields == fields

    def test_until_the_form_is_posted_unionpay_has_never_heard_of_it(self, far):
        order = an_order(scene=Scene.PHONE)
        opened = far.gateway.open_order(order)

        assert opened.pay_fields["channelType"] == "08"
        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.NOT_FOUND

    def test_it_cannot_be_closed_and_ends_by_itself(self, far):
        order = an_order(scene=Scene.SCREEN, expires_at=utc_now() + timedelta(seconds=2))
        opened = far.gateway.open_order(order)

        assert far.gateway.capabilities.closes is False
        assert far.gateway.close(asked(order, opened)).status is GatewayStatus.OPEN
        until(lambda: utc_now() > order.expires_at)
        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.CLOSED

    def test_a_declined_card_is_a_refusal_with_its_code(self, far):
        order = an_order(scene=Scene.DESKTOP)
        opened = far.gateway.open_order(order)
        far.choose(order, opened, "no")

        told = far.gateway.query(asked(order, opened))

        assert (told.status, told.reason) == (GatewayStatus.REFUSED, "64")


def told_by(keys: FarKeys, facts: dict[str, str], *, amount_fen: int = 8_650) -> GatewayReply:
    known = Asked(order_no="CB261100", amount_fen=amount_fen, asked_at=NOON)
    with answering(keys, facts) as url:
        gateway = gateway_at(url, keys)
        told = gateway.query(known)
        gateway.hang_up()
    return told


PAID = {
    "respCode": "00", "origRespCode": "00", "queryId": "202611201200051234567",
    "txnAmt": "8650", "currencyCode": "156", "traceTime": "1120120005",
}  # fmt: skip


class TestWhatIsKnown:
    @pytest.mark.parametrize("fault", ["busy", "other_key"])
    def test_an_answer_that_proves_nothing_is_not_knowing(self, far, fault):
        order = an_order(scene=Scene.SCREEN)
        opened = far.gateway.open_order(order)
        far.choose(order, opened, "nothing")
        far.fault(order.order_no, fault)

        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.UNKNOWN
        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.PAID

    def test_a_payment_is_of_beijings_time(self, keys):
        told = told_by(keys, PAID)

        assert told == GatewayReply(
            status=GatewayStatus.PAID, gateway_ref="202611201200051234567", amount_fen=8_650,
            paid_at=datetime(2026, 11, 20, 4, 0, 5, tzinfo=UTC),
        )  # fmt: skip

    def test_a_payment_after_new_year_is_of_the_new_year(self, keys):
        late = datetime(2026, 12, 31, 15, 50, tzinfo=UTC)
        with answering(keys, PAID | {"traceTime": "0101000005"}) as url:
            gateway = gateway_at(url, keys)
            told = gateway.query(Asked(order_no="CB261231", amount_fen=8_650, asked_at=late))
            gateway.hang_up()

        assert told.paid_at == datetime(2026, 12, 31, 16, 0, 5, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("codes", "status"),
        [
            ({"origRespCode": "A6"}, GatewayStatus.PAID),
            ({"origRespCode": "03"}, GatewayStatus.UNKNOWN),
            ({"origRespCode": "04"}, GatewayStatus.UNKNOWN),
            ({"origRespCode": "05"}, GatewayStatus.OPEN),
            ({"origRespCode": "34"}, GatewayStatus.UNKNOWN),
            ({"origRespCode": "42"}, GatewayStatus.UNKNOWN),
            ({"origRespCode": "61"}, GatewayStatus.REFUSED),
            ({"origRespCode": "62"}, GatewayStatus.REFUSED),
            ({"origRespCode": "69"}, GatewayStatus.CLOSED),
            ({"origRespCode": "ZZ"}, GatewayStatus.UNKNOWN),
            ({"origRespCode": ""}, GatewayStatus.UNKNOWN),
            ({"respCode": "34"}, GatewayStatus.NOT_FOUND),
            ({"respCode": "03"}, GatewayStatus.UNKNOWN),
            ({"respCode": "37"}, GatewayStatus.UNKNOWN),
            ({"respCode": "11"}, GatewayStatus.UNKNOWN),
        ],
    )
    def test_codes(self, keys, codes, status):
        assert told_by(keys, PAID | codes).status is status

    @pytest.mark.parametrize(
        "change",
        [
            {"orderId": "CB261101"}, {"txnTime": "20261120120001"}, {"merId": "777290058100002"},
            {"txnAmt": "86.50"}, {"txnAmt": ""}, {"txnAmt": "８６５０"}, {"currencyCode": "840"},
            {"traceTime": "1131120005"}, {"traceTime": "noon"}, {"queryId": ""},
        ],
    )  # fmt: skip
    def test_a_signed_answer_that_makes_no_sense_is_not_knowing(self, keys, change):
        assert told_by(keys, PAID | change).status is GatewayStatus.UNKNOWN

    def test_a_number_asked_for_twice_is_not_knowing(self, keys):
        with answering(keys, {"respCode": "12"}) as url:
            gateway = gateway_at(url, keys)
            told = gateway.open_order(an_order(scene=Scene.SCREEN))
            gateway.hang_up()

        assert told.status is GatewayStatus.UNKNOWN


class TestRefunds:
    def test_numbers_with_a_hyphen_or_few_letters_go_there_and_back(self, far, simulator):
        order, paid = TestUnionpay().paid(far)
        refunds = [
            a_refund(order, paid, refund_no=number, amount_fen=fen)
            for number, fen in ((f"R{order.order_no[2:]}-01", 100), (f"S{order.order_no[-3:]}", 50))
        ]

        for one in refunds:
            assert settled(far.gateway, one).state is RefundState.SENT

        rows = far.gateway.read_settlement(
            io.BytesIO(far.settlement()), day=billing_date(utc_now())
        )
        sent = {row.reference: row.amount_fen for row in rows if row.kind == "refund"}
        assert {one.refund_no: -one.amount_fen for one in refunds}.items() <= sent.items()

    def test_one_without_unionpays_number_names_the_order_by_ours(self, far):
        order, _ = TestUnionpay().paid(far)

        told = settled(far.gateway, a_refund(order, GatewayReply(status=GatewayStatus.PAID)))

        assert told.state is RefundState.SENT

    def test_one_that_was_accepted_is_pending_until_it_was_made(self, far):
        order, paid = TestUnionpay().paid(far)
        far.fault(order.order_no, "slow_refund")
        refund = a_refund(order, paid)

        assert far.gateway.refund(refund).state is RefundState.PENDING
        until(lambda: far.gateway.query_refund(refund).state is RefundState.SENT)

    @pytest.mark.parametrize("fault", ["silent", "error", "busy", "other_key"])
    def test_one_whose_answer_was_lost_is_found_by_asking(self, far, fault):
        order, paid = TestUnionpay().paid(far)
        refund = a_refund(order, paid)
        far.fault(refund.refund_no, fault)

        assert far.gateway.refund(refund).state is RefundState.UNKNOWN
        assert far.gateway.query_refund(refund).state is RefundState.SENT

    def test_the_same_number_with_another_amount_is_not_knowing(self, far):
        order, paid = TestUnionpay().paid(far)
        first = a_refund(order, paid, amount_fen=100)
        settled(far.gateway, first)
        other = a_refund(order, paid, amount_fen=101, asked_at=first.asked_at)

        assert far.gateway.refund(other).state is RefundState.UNKNOWN
        assert far.gateway.query_refund(other).state is RefundState.UNKNOWN

    SENT = PAID | {"txnAmt": "100"}

    @pytest.mark.parametrize(
        ("first", "known", "state"),
        [
            ("36", {"respCode": "34"}, RefundState.REFUSED),
            ("36", SENT, RefundState.SENT),
            ("36", {"respCode": "03"}, RefundState.UNKNOWN),
            ("39", {"respCode": "34"}, RefundState.UNKNOWN),  # not at this hour
            ("43", {"respCode": "34"}, RefundState.UNKNOWN),  # try again later
            ("39", SENT, RefundState.UNKNOWN),
            ("00", {"respCode": "34"}, RefundState.PENDING),
            ("00", SENT | {"origRespCode": "05"}, RefundState.PENDING),
            ("00", SENT | {"origRespCode": "35"}, RefundState.REFUSED),
            ("00", SENT | {"origRespCode": "42"}, RefundState.PENDING),
            ("12", SENT, RefundState.SENT),
            ("12", {"respCode": "34"}, RefundState.UNKNOWN),
            ("99", SENT, RefundState.UNKNOWN),
        ],
    )
    def test_what_became_of_one_is_told_by_asking(self, keys, first, known, state):
        known_order = Asked(order_no="CB261100", amount_fen=8_650, asked_at=NOON)
        refund = RefundOrder(
            refund_no="R26110000-01", amount_fen=100, reason="a test", asked_at=NOON,
            paid=known_order,
        )  # fmt: skip
        with answering(keys, {"respCode": first}, known) as url:
            gateway = gateway_at(url, keys)
            told = gateway.refund(refund)
            gateway.hang_up()

        assert told.state is state


class TestNotifications:
    FACTS = {  # noqa: RUF012
        "version": "5.1.0", "encoding": "UTF-8", "merId": MER_ID, "txnType": "01",
        "orderId": "CB2611000000000001", "respCode": "00", "respMsg": "成功 + a%20b=c&d",
        "queryId": "202611201200051234567", "txnAmt": "8650", "txnTime": "20191120120000",
    }  # fmt: skip

    def read(self, far: FarSide, keys: FarKeys, by: Certified | None = None, **changes: str):
        body = keys.notice(self.FACTS | changes, by)
        return far.gateway.read_callback({}, body, now=utc_now())

    def test_it_may_be_years_old_and_is_of_a_payment_or_a_refund(self, far, keys):
        paid = self.read(far, keys)
        refunded = self.read(far, keys, txnType="04", orderId="R261100000000x01")

        assert (paid.kind, paid.reference) == (CallbackKind.PAYMENT, "CB2611000000000001")
        assert (refunded.kind, refunded.reference) == (CallbackKind.REFUND, "R261100000000-01")

    def test_other_news_is_of_no_use(self, far, keys):
        assert self.read(far, keys, txnType="79") is None

    def test_another_merchants_is_refused(self, far, keys):
        with pytest.raises(NotAllowed, match="another merchant"):
            self.read(far, keys, merId="777290058100002")

    def test_only_unionpays_own_certificates_prove_anything(self, far, keys):
        name = f"041@8310000000083040@{SIGNER}@00016493"
        strangers = [
            Certified.make(name),
            Certified.make(name, Certified.make("UnionPay middle")),
            Certified.make("041@1@somebody else@1", keys.middle),
            Certified.make(SIGNER, keys.middle),
            Certified.make(name, keys.middle, days=(-10, -1)),
            Certified.make(name, keys.middle, days=(1, 10)),
            keys.ours,
            keys.middle,
            Certified(keys.far.key, keys.middle.over_a_curve(name)),
        ]

        for one in strangers:
            with pytest.raises(NotAllowed):
                self.read(far, keys, one)
        renewed = Certified.make(name, keys.middle)
        assert self.read(far, keys, renewed) == self.read(far, keys)

    @pytest.mark.parametrize("body", [b"", b"\xff", b"a=1&a=2", b"no form", b"=1&" * 200 + b"a=1"])
    def test_what_is_no_form_is_malformed(self, far, body):
        with pytest.raises((Invalid, NotAllowed)):
            far.gateway.read_callback({}, body, now=utc_now())

    def test_unionpay_wants_ok(self, far):
        assert far.gateway.answer_callback(taken=True)[:2] == (200, "ok")
        assert far.gateway.answer_callback(taken=False).status_code != 200


class TestSettlementFiles:
    def test_a_day_needs_the_file_of_the_next_which_its_last_hour_is_in(self, far):
        TestUnionpay().paid(far)
        today = billing_date(utc_now())

        fetched = far.gateway.fetch_settlement(today)

        # Paid before 23:00 the file of tomorrow lacks, paid after it the one of today.
        assert fetched.state is FileState.NOT_YET

    def test_days_long_past_without_orders_have_no_data(self, far):
        day = billing_date(utc_now()) - timedelta(days=20)

        assert far.gateway.fetch_settlement(day).state is FileState.NO_DATA

    def test_it_is_fetched_whole(self, far, simulator, keys):
        order, paid = TestUnionpay().paid(far)
        assert paid.paid_at is not None
        day = billing_date(paid.paid_at)
        later = gateway_at(
            str(simulator.client.base_url).rstrip("/"), keys, now=utc_now() + timedelta(days=5)
        )

        fetched = later.fetch_settlement(day)
        rows = list(later.read_settlement(io.BytesIO(fetched.content), day=day))
        later.hang_up()

        assert fetched.state is FileState.READY
        assert order.order_no in {row.reference for row in rows}

    @pytest.mark.parametrize("told", [{"respCode": "06"}, {"respCode": "00", "fileContent": "x"}])
    def test_anything_else_is_not_knowing(self, keys, told):
        with answering(keys, told) as url:
            gateway = gateway_at(url, keys)
            state = gateway.fetch_settlement(billing_date(NOON)).state
            gateway.hang_up()

        assert state is FileState.UNKNOWN


class TestSettings:
    def settings(self, tmp_path, keys: FarKeys, **changes: str) -> Settings:
        files = {
            "private_key": keys.ours.private_pem, "cert": keys.ours.pem,
            "root_cert": keys.root.pem, "middle_cert": keys.middle.pem,
        }  # fmt: skip
        chosen = {"unionpay_mer_id": MER_ID}
        for name, content in files.items():
            path = tmp_path / f"{name}.pem"
            path.write_bytes(content)
            chosen[f"unionpay_{name}"] = str(path)
        return Settings(_env_file=None, **chosen | changes)

    def test_without_any_there_is_no_unionpay(self):
        assert from_settings(Settings(_env_file=None)) is None

    def test_with_all_there_is(self, tmp_path, keys):
        gateway = from_settings(self.settings(tmp_path, keys, unionpay_refund_days="30"))

        assert gateway is not None
        assert gateway.capabilities.refund_days == 30
        gateway.hang_up()

    @pytest.mark.parametrize(
        "change",
        [
            {"unionpay_mer_id": ""}, {"unionpay_cert": ""}, {"unionpay_root_cert": ""},
            {"unionpay_private_key": "/nowhere"},
        ],
    )  # fmt: skip
    def test_half_a_configuration_is_refused(self, tmp_path, keys, change):
        with pytest.raises(Invalid, match=r"UnionPay"):
            from_settings(self.settings(tmp_path, keys, **change))

    @pytest.mark.parametrize("name", ["unionpay_url", "unionpay_files_url"])
    def test_production_wants_it_encrypted_on_the_way(self, tmp_path, keys, name):
        chosen = self.settings(tmp_path, keys, **{name: "http://unionpay.example"})
        made = from_settings(chosen)
        assert made is not None
        made.hang_up()

        chosen.environment = Environment.PRODUCTION
        with pytest.raises(Invalid, match=name.upper()):
            from_settings(chosen)

    def test_certificates_must_fit_each_other(self, keys):
        ours, root, middle = keys.ours, keys.root, keys.middle
        for given in (
            (middle.private_pem, ours.pem, root.pem, middle.pem),
            (ours.private_pem, ours.pem, ours.pem, middle.pem),
            (b"no key", ours.pem, root.pem, middle.pem),
            (ours.private_pem, b"no certificate", root.pem, middle.pem),
        ):
            with pytest.raises(Invalid):
                read_keys(*given, signer=SIGNER)
