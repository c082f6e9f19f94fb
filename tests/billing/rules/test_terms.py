"""A company's terms: read from TOML, and each mistake named by table and key."""

from datetime import time

import pytest

from billing.rules.terms import (
    Amount,
    Apportion,
    BankAccount,
    Basis,
    Cycle,
    FeePayer,
    Head,
    Period,
    Remit,
    Roll,
    Surplus,
    Terms,
    parse_terms,
)
from core.errors import Invalid
from providers.base import Exactness

EVERYTHING = """
surplus = "advance"

[amount]
mode = "range"
minimum_fen = 100
maximum_fen = 500_000

[fee]
tax_ppm = 60_000
paid_by = "company"
slabs = [{ upto_fen = 10_000 }, { upto_fen = 20_000, fixed_fen = 50 }, { rate_ppm = 2_500 }]

[late_fee]
grace_days = 3
once_fen = 100
penalty_ppm = 10_000
interest_ppm_per_day = 500
cap_ppm = 1_000_000
stop_after_days = 90

[due]
calendar = "CN"
roll = "next_working_day"

[cut_off]
at = 16:30:00
working_days = true

[quote]
minutes = 90
same_day = true

[cycle]
months = 2
anchor_month = 2

[[limits]]
mode = "cash"
channels = ["counter", "kiosk"]
maximum_fen = 50_000

[apportion]
periods = "largest_first"
heads = ["late_fee", "charge"]

[credits]
consume = false
order = "newest_first"

[remit]
days = 3
basis = "gross"
minimum_fen = 10_000

[remit.account]
name = "水务"
account_no = "6222000000009001"
bank_code = "ICBKCNBJ"
"""


def an_account(**changes):
    """Where a company is paid, with some of it changed."""
    keys = {"name": "水务", "account_no": "6222000000009001", "bank_code": "102290000012"} | changes
    return "[remit.account]\n" + "\n".join(f'{key} = "{value}"' for key, value in keys.items())


def complaint(content):
    with pytest.raises(Invalid) as refused:
        parse_terms(content)
    assert refused.value.code == "terms.invalid"
    return str(refused.value)


class TestReading:
    def test_without_a_word_the_plainest_terms_hold(self):
        """Rules 2, 4, 5, 9 and 10: exact amounts, no fee, every way to pay, oldest first."""
        plain = parse_terms("")

        assert plain == Terms()
        assert (plain.amount.mode, plain.surplus) == (Exactness.EXACT, Surplus.REFUSE)
        assert (plain.fee.slabs, plain.limits, plain.splits) == ((), (), ())
        assert plain.apportion.heads == (Head.CHARGE, Head.LATE_FEE)
        assert plain.apportion.periods is Period.OLDEST_FIRST

    def test_every_key_is_read(self):
        terms = parse_terms(EVERYTHING)

        assert terms.amount == Amount(mode=Exactness.RANGE, minimum_fen=100, maximum_fen=500_000)
        assert terms.surplus is Surplus.ADVANCE
        assert [slab.upto_fen for slab in terms.fee.slabs] == [10_000, 20_000, None]
        assert terms.fee.paid_by is FeePayer.COMPANY
        assert terms.due.roll is Roll.NEXT_WORKING_DAY
        assert (terms.cut_off.at, terms.cut_off.working_days) == (time(16, 30), True)
        assert (terms.quote.minutes, terms.quote.same_day) == (90, True)
        assert terms.cycle == Cycle(months=2, anchor_month=2)
        assert terms.limits[0].channels == ("counter", "kiosk")
        assert terms.apportion == Apportion(
            periods=Period.LARGEST_FIRST, heads=(Head.LATE_FEE, Head.CHARGE)
        )
        assert (terms.credits.consume, terms.credits.order) == (False, Period.NEWEST_FIRST)
        assert terms.remit == Remit(
            days=3, basis=Basis.GROSS, minimum_fen=10_000,
            account=BankAccount(
                name="水务", account_no="6222000000009001", bank_code="ICBKCNBJ"
            ),
        )  # fmt: skip

    def test_penalty_interest_and_a_one_off_are_three_keys(self):
        """Rule 24."""
        late = parse_terms(EVERYTHING).late_fee

        assert (late.once_fen, late.penalty_ppm, late.interest_ppm_per_day) == (100, 10_000, 500)

    def test_terms_do_not_change_once_read(self):
        with pytest.raises(ValueError, match="frozen"):
            parse_terms("").surplus = Surplus.ADVANCE


class TestMistakes:
    """A company's operator reads the answer: the table, the key, what would be right."""

    @pytest.mark.parametrize(
        ("content", "where", "told"),
        [
            ("surplus = 'keep'", "surplus", "'refuse' or 'advance'"),
            ("[amounts]\nmode = 'any'", "amounts", "no such key"),
            ("[amount]\nminimun_fen = 1", "amount.minimun_fen", "no such key"),
            ("[amount]\nmode = 'exactly'", "amount.mode", "'exact'"),
            ("[amount]\nmode = 'range'", "amount", "needs minimum_fen and maximum_fen"),
            ("[amount]\nmode = 'range'\nminimum_fen = 1", "amount", "needs minimum_fen and max"),
            ("[amount]\nmode = 'multiple_of'", "amount", "go together"),
            ("[amount]\nmode = 'any'\nmultiple_fen = 100", "amount", "go together"),
            ("[amount]\nmode = 'multiple_of'\nmultiple_fen = 0", "amount.multiple_fen", "or equal"),
            (
                "[amount]\nmode = 'any'\nminimum_fen = 2\nmaximum_fen = 1", "amount",
                "minimum_fen is above maximum_fen",
            ),
            ("[fee]\ntax_ppm = 1_000_001", "fee.tax_ppm", "less than or equal to 1000000"),
            ("[fee]\npaid_by = 'city'", "fee.paid_by", "'resident' or 'company'"),
            ("[fee]\nslabs = [{ upto_fen = 5 }]", "fee", "the last slab has no upto_fen"),
            ("[fee]\nslabs = [{}, {}]", "fee", "each slab but the last"),
            ("[fee]\nslabs = [{ upto_fen = 5 }, { upto_fen = 5 }, {}]", "fee", "above the one"),
            ("[fee]\nslabs = [{ upto_fen = 5 }, { upto_fen = 4 }, {}]", "fee", "above the one"),
            ("[fee]\nslabs = [{ upto = 5 }]", "fee.slabs.0.upto", "no such key"),
            ("[late_fee]\ngrace_days = 366", "late_fee.grace_days", "less than or equal to 365"),
            ("[late_fee]\nstop_after_days = 0", "late_fee.stop_after_days", "or equal to 1"),
            ("[due]\nroll = 'monday'", "due.roll", "'next_working_day'"),
            ("[cut_off]\nat = 25", "cut_off.at", "write the hour as 17:00:00"),
            ("[cut_off]\nat = '17:00'", "cut_off.at", "write the hour as 17:00:00"),
            ("[due]\ncalendar = 'XX'", "due.calendar", "XX"),
            ("[quote]\nminutes = 4", "quote.minutes", "greater than or equal to 5"),
            ("[cycle]\nmonths = 13", "cycle.months", "less than or equal to 12"),
            ("[[limits]]\nmode = 'cash'", "limits.0.channels", "required"),
            ("[[limits]]\nmode = 'cash'\nchannels = []", "limits.0.channels", "at least 1"),
            ("[[limits]]\nmode = 'cash'\nchannels = 'web'", "limits.0.channels", "tuple"),
            ("[apportion]\nperiods = 'random'", "apportion.periods", "'oldest_first'"),
            ("[apportion]\nheads = ['charge']", "apportion", "charge, late_fee once"),
            ("[apportion]\nheads = ['charge', 'charge']", "apportion", "charge, late_fee once"),
            ("[apportion]\nheads = ['tax']", "apportion.heads.0", "'charge'"),
            ("[credits]\norder = 'none'", "credits.order", "'oldest_first'"),
            ("[[splits]]\naccount_ref = 'a'", "splits.0", "not both"),
            (
                "[[splits]]\naccount_ref = 'a'\nfixed_fen = 1\nrate_ppm = 1", "splits.0",
                "not both",
            ),
            ("[[splits]]\naccount_ref = ''\nfixed_fen = 1", "splits.0.account_ref", "at least 1"),
            ("[remit]\ndays = 31", "remit.days", "less than or equal to 30"),
            ("[remit]\nbasis = 'half'", "remit.basis", "'net' or 'gross'"),
            ("[remit]\nminimum_fen = -1", "remit.minimum_fen", "greater than or equal to 0"),
            ("[remit.account]\nname = 'a'", "remit.account.account_no", "required"),
            (an_account(name=""), "remit.account.name", "whose account"),
            (an_account(name="=1+1"), "remit.account.name", "whose account"),
            (an_account(name="水" * 71), "remit.account.name", "70 characters"),
            (an_account(account_no="6222 0000"), "remit.account.account_no", "without blanks"),
            (an_account(account_no="62220"), "remit.account.account_no", "6 to 34"),
            (an_account(bank_code="10229000001"), "remit.account.bank_code", "twelve digits"),
            (an_account(bank_code="ICBKCNB"), "remit.account.bank_code", "its BIC"),
            (
                an_account() + "\n[[splits]]\naccount_ref = 'a'\nfixed_fen = 1", "terms",
                "each split needs its account too",
            ),
        ],
    )  # fmt: skip
    def test_a_mistake_is_named_with_its_table_and_key(self, content, where, told):
        """Rules 2, 4, 5, 9 and 10: each limit of a figure, a fen beyond it."""
        named, _, words = complaint(content).partition(": ")

        assert named == where
        assert told in words

    @pytest.mark.parametrize("figure", ["1.0", "1.5", "true", "'1'", "1e3", "nan", "inf", "-1"])
    @pytest.mark.parametrize(
        ("content", "where"),
        [
            ("[late_fee]\nonce_fen = {}", "late_fee.once_fen"),
            ("[fee]\ntax_ppm = {}", "fee.tax_ppm"),
            ("[amount]\nmode = 'multiple_of'\nmultiple_fen = {}", "amount.multiple_fen"),
        ],
    )
    def test_an_amount_or_a_rate_is_a_whole_number(self, content, where, figure):
        """Rule 1: no float, no bool, no text in the place of fen."""
        assert complaint(content.format(figure)).startswith(f"{where}: ")

    def test_several_mistakes_are_all_told(self):
        told = complaint("surplus = 'keep'\n[quote]\nminutes = 4")

        assert "surplus: " in told
        assert "; quote.minutes: " in told

    def test_what_is_no_toml_is_told_with_its_line(self):
        assert "line 2" in complaint("[amount]\nmode = any")

    def test_a_key_stated_twice_is_refused(self):
        assert "not TOML" in complaint("surplus = 'refuse'\nsurplus = 'advance'")


class TestPartsThatDoNotFit:
    @pytest.mark.parametrize("mode", ["exact", "exact_and_below"])
    def test_an_advance_needs_a_mode_that_takes_more(self, mode):
        """Rule 2."""
        told = complaint(f"surplus = 'advance'\n[amount]\nmode = '{mode}'")

        assert told.startswith("terms: surplus 'advance' needs an amount.mode of any, ")

    @pytest.mark.parametrize("mode", ["exact_and_below", "any"])
    def test_splits_need_an_amount_that_is_never_less(self, mode):
        """Rule 10."""
        told = complaint(f"[amount]\nmode = '{mode}'\n[[splits]]\naccount_ref = 'a'\nfixed_fen = 1")

        assert told.startswith("terms: splits need amount.mode 'exact' or 'exact_and_above'")

    @pytest.mark.parametrize("mode", ["exact", "exact_and_above"])
    def test_and_are_taken_with_one(self, mode):
        """Rule 10."""
        content = f"[amount]\nmode = '{mode}'\n[[splits]]\naccount_ref = 'a'\nfixed_fen = 1"

        assert parse_terms(content).splits[0].fixed_fen == 1

    @staticmethod
    def splits(*rates, same_ref=False):
        return "\n".join(
            f"[[splits]]\naccount_ref = 'a{0 if same_ref else at}'\nrate_ppm = {rate_ppm}"
            for at, rate_ppm in enumerate(rates)
        )

    def test_four_splits_and_the_primary_are_five_accounts_and_no_more(self):
        """Rule 10: at most five."""
        assert len(parse_terms(self.splits(1, 2, 3, 4)).splits) == 4
        assert complaint(self.splits(1, 2, 3, 4, 5)).startswith("splits: ")

    def test_rates_make_the_whole_at_most(self):
        """Rule 10: above the total is refused, by one part in a million."""
        assert len(parse_terms(self.splits(500_000, 500_000)).splits) == 2
        assert "more than the whole" in complaint(self.splits(500_000, 500_001))

    def test_an_account_is_named_once(self):
        """Rule 10."""
        assert "named twice" in complaint(self.splits(1, 2, same_ref=True))
