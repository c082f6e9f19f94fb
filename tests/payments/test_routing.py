"""Which gateways may collect an amount, and which is asked first."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.terms import Mode, parse_terms
from core.errors import Invalid, NotFound
from payments.gateways.base import Capabilities, Gateway, Spoken
from payments.routing import Way, cost_fen, read_way, route, takes, ways_to_pay
from tests.factories import FarGateway

CHANNELS = ["web", "api", "tv", "counter", "kiosk"]


def gateways(**of: Capabilities) -> dict[str, Gateway]:
    return {
        code: FarGateway(code=code, name=Spoken(code, code.title()), capabilities=can)
        for code, can in of.items()
    }  # type: ignore[misc]


def can(*modes: str, **others) -> Capabilities:
    return Capabilities(modes=modes or ("card",), channels=frozenset({"web", "api"}), **others)


capabilities = st.builds(
    Capabilities,
    modes=st.lists(st.sampled_from([*Mode]), min_size=1, unique=True).map(tuple),
    channels=st.frozensets(st.sampled_from(CHANNELS), min_size=1),
    minimum_fen=st.integers(1, 500),
    maximum_fen=st.none() | st.integers(1, 100_000),
    cost_ppm=st.integers(0, 30_000),
    cost_fen=st.integers(0, 200),
)
cities = st.dictionaries(
    st.text(string.ascii_lowercase, min_size=1, max_size=4), capabilities, min_size=1, max_size=6
)
amounts = st.integers(1, 150_000)


class TestTheLaw:
    @given(cities, st.sampled_from([*Mode]), st.sampled_from(CHANNELS), amounts, st.data())
    def test_a_route_is_all_that_may_and_none_that_may_not_best_first(
        self, city, mode, channel, amount_fen, data
    ):
        far = gateways(**city)
        down = data.draw(st.frozensets(st.sampled_from(sorted(far))))
        shuffled = dict(data.draw(st.permutations(list(far.items()))))
        may = {
            code for code, one in city.items()
            if mode in one.modes and ("counter" if mode == "cash" else channel) in one.channels
            and one.minimum_fen <= amount_fen <= (one.maximum_fen or amount_fen)
        }  # fmt: skip

        def found(of) -> tuple[str, ...]:
            try:
                return route(of, Way(mode), channel=channel, amount_fen=amount_fen, down=down)
            except Invalid:
                return ()

        codes = found(far)
        assert set(codes) == may
        assert codes == found(shuffled)
        ranks = [(code in down, cost_fen(city[code], amount_fen), code) for code in codes]
        assert ranks == sorted(ranks)

    @given(cities, st.sampled_from(CHANNELS), amounts, st.data())
    def test_what_is_offered_can_be_routed_and_what_is_named_is_asked_alone(
        self, city, channel, amount_fen, data
    ):
        far = gateways(**city)
        down = data.draw(st.frozensets(st.sampled_from(sorted(far))))
        terms = {"water": parse_terms("")}

        ways = ways_to_pay(
            far, terms, {"water": amount_fen}, channel=channel, amount_fen=amount_fen, down=down
        )

        for one in ways:
            codes = route(far, one.way, channel=channel, amount_fen=amount_fen, down=down)
            assert one.way.gateway in (None, codes[0])
            assert len(codes) == 1 or one.way.gateway is None
            assert one.down == all(code in down for code in codes)
            assert read_way(one.way.text, far) == one.way
        assert len({one.way for one in ways}) == len(ways)
        assert [one.down for one in ways] == sorted(one.down for one in ways)


class TestRoutes:
    def test_the_cheapest_for_this_amount_comes_first(self):
        far = gateways(flat=can(cost_fen=60), share=can(cost_ppm=6_000))

        small = route(far, Way("card"), channel="web", amount_fen=5_000)
        large = route(far, Way("card"), channel="web", amount_fen=50_000)

        assert (small, large) == (("share", "flat"), ("flat", "share"))

    def test_one_that_is_down_comes_last_and_is_still_there(self):
        far = gateways(cheap=can(), dear=can(cost_fen=60))

        found = route(far, Way("card"), channel="web", amount_fen=1, down={"cheap"})

        assert found == ("dear", "cheap")

    @pytest.mark.parametrize(
        ("amount_fen", "taken"), [(99, False), (100, True), (200, True), (201, False)]
    )
    def test_limits_hold_to_the_fen(self, amount_fen, taken):
        one = can(minimum_fen=100, maximum_fen=200)

        assert takes(one, mode="card", channel="web", amount_fen=amount_fen) is taken

    def test_none_that_may_is_said(self):
        far = gateways(one=can(maximum_fen=100))

        for way, channel in ((Way("card"), "web"), (Way("card", "one"), "tv")):
            with pytest.raises(Invalid) as refused:
                route(far, way, channel=channel, amount_fen=101)
            assert refused.value.code == "gateway.none_fits"

    def test_half_a_fen_of_cost_is_rounded_up(self):
        assert cost_fen(can(cost_ppm=5_000, cost_fen=1), 100) == 2


class TestWays:
    def test_a_mode_several_serve_is_a_way_of_its_own_and_nobody_gets_a_wallet_unasked(self):
        far = gateways(one=can("card", "wallet", cost_fen=5), two=can("wallet", "card"))

        ways = ways_to_pay(far, {}, {}, channel="web", amount_fen=100)

        assert [one.way.text for one in ways] == [
            "two:wallet", "one:wallet", "mode:wallet", "mode:card", "two:card", "one:card",
        ]  # fmt: skip
        assert [name.en for name in ways[3].names] == ["Two", "One"]

    def test_what_a_company_does_not_take_is_not_offered(self):  # rule 5
        terms = {
            "water": parse_terms('[[limits]]\nmode = "card"\nchannels = ["web"]\nmaximum_fen = 99')
        }
        far = gateways(one=can("wallet", "card"))

        offered = [
            [
                one.way.mode
                for one in ways_to_pay(far, terms, {"water": fen}, channel="web", amount_fen=fen)
            ]
            for fen in (99, 100)
        ]

        assert offered == [["card"], []]

    @pytest.mark.parametrize(
        ("text", "way"),
        [("two", Way("wallet", "two")), ("two:", Way("wallet", "two")),
         ("two:card", Way("card", "two")), ("mode:card", Way("card"))],
    )  # fmt: skip
    def test_a_way_is_read_by_its_name(self, text, way):
        assert read_way(text, gateways(one=can(), two=can("wallet", "card"))) == way

    @pytest.mark.parametrize("text", ["", "three", "one:wallet", "mode:cash", "mode:", ":card"])
    def test_one_there_is_none_of_is_refused(self, text):
        with pytest.raises(NotFound):
            read_way(text, gateways(one=can()))
