"""The people of the city: who lives where, and under which account numbers (户号).

Everything is made up: names from pools, streets that sound right and do not exist.
"""

from functools import cache
from typing import NamedTuple

from core.errors import Invalid
from simulator.chance import mix
from simulator.companies import COMPANIES

DEMO_NUMBER = 1
_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
    "苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史"
)
_DOUBLE_SURNAMES = ("欧阳", "上官", "诸葛", "司马", "东方", "令狐")
_GIVEN = (
    "伟芳娜敏静秀丽强磊军洋勇艳杰娟涛明超霞平刚桂英华文玉兰萍建国红梅志鹏飞燕雪琳佳欣"
    "怡梓涵浩宇轩子墨思远嘉懿安宁晨曦一诺若曼博雅诗云天佑春生冬青秋实立夏和平永康长乐"
)
_RARE_GIVEN = "珅瑋䶮弢東億墊喆堃翀婳"  # each has tripped a bill file somewhere
_LONG_NAMES = ("阿依古丽·买买提", "尼玛次仁·扎西", "玛丽亚·冈萨雷斯")
_DISTRICTS = (
    "黄浦区",
    "徐汇区",
    "长宁区",
    "静安区",
    "普陀区",
    "虹口区",
    "杨浦区",
    "闵行区",
    "宝山区",
    "嘉定区",
    "浦东新区",
    "金山区",
    "松江区",
    "青浦区",
    "奉贤区",
    "崇明区",
)
_STREET_NAMES = (
    "桂云",
    "梧桐里",
    "南塘",
    "莲溪",
    "望潮",
    "金桂",
    "芦汀",
    "双杨",
    "白鹤汀",
    "青枫",
    "沪江",
    "碧波里",
    "银杏",
    "春申里",
    "龙潭",
    "紫藤",
    "长风里",
    "听雨",
    "石泉",
    "云锦",
    "花木里",
    "江湾里",
    "秋水",
    "兰亭",
    "枫林里",
    "柳营",
    "海棠",
    "平安里",
    "和风",
    "康桥里",
)
_STREET_KINDS = ("路", "东路", "西路", "南路", "北路", "街")
# Account numbers: a company's prefix, then the household's place in a scattered order.
_PREFIXES = {"water": "20", "power": "31000", "gas": "6600", "telecom": ""}
_ORDER = 10**8
_STRIDE = 61_803_399  # prime to ten, so that no two households meet
MOST_HOUSEHOLDS = _ORDER - 1


class Household(NamedTuple):
    """``number`` counts from 1; ``key`` is what its chances are drawn from."""

    number: int
    holder: str
    address: str
    is_vacant: bool
    is_large: bool
    key: int
    seed_key: int

    def account_no(self, company: str) -> str:
        """Return its account number (户号) at a company; no two households share one."""
        prefix, width, shift = _account_form(self.seed_key, company)
        return f"{prefix}{(self.number * _STRIDE + shift) % _ORDER:0{width}d}"

    @property
    def account_nos(self) -> dict[str, str]:
        """Its account numbers at all four companies, by code."""
        return {company: self.account_no(company) for company in COMPANIES}


def household_key(seed_key: int, number: int) -> int:
    """Return what the chances of household ``number`` are drawn from."""
    return mix(seed_key ^ (number * 0x5851F42D4C957F2D))


def make_household(seed_key: int, number: int) -> Household:
    """Make household ``number`` of a city, out of nothing but these two numbers.

    Raises:
        Invalid: households are numbered from 1.
    """
    if not 1 <= number <= MOST_HOUSEHOLDS:
        raise Invalid(f"households are numbered from 1 to {MOST_HOUSEHOLDS:,}")
    key = household_key(seed_key, number)
    if number == DEMO_NUMBER:
        address = "上海市徐汇区梧桐里路100弄8号602室"
        return Household(number, "王小明", address, False, False, key, seed_key)
    return Household(
        number,
        _holder(mix(key + 1)),
        _address(mix(key + 2)),
        is_vacant(key),
        key % 1_000 > 824,  # 17.5 % are five or more
        key,
        seed_key,
    )


def is_vacant(key: int) -> bool:
    """Tell whether nobody lives there: three in a hundred."""
    return key % 1_000 < 30


@cache
def _account_form(seed_key: int, company: str) -> tuple[str, int, int]:
    """Return a company's prefix, how many digits follow, and where its order begins."""
    prefix = _PREFIXES[company]
    shift = mix(seed_key + ord(company[0])) % _ORDER
    return prefix, COMPANIES[company].account_digits - len(prefix), shift


def number_of(seed_key: int, company: str, account_no: str) -> int:
    """Return whose account number this is: the household's number, or 0 when it has no such form.

    The way back from ``Household.account_no``; how many households there are is not looked at.
    """
    prefix, width, shift = _account_form(seed_key, company)
    digits = account_no.removeprefix(prefix)
    plain = account_no.startswith(prefix) and digits.isascii() and digits.isdecimal()
    if not plain or len(digits) != width:
        return 0
    return (int(digits) - shift) * pow(_STRIDE, -1, _ORDER) % _ORDER


def _holder(roll: int) -> str:
    fate, roll = roll % 1_000, roll // 1_000
    if fate < 2:
        return _LONG_NAMES[roll % len(_LONG_NAMES)]
    surname = _SURNAMES[roll % len(_SURNAMES)]
    if fate < 12:
        surname = _DOUBLE_SURNAMES[roll % len(_DOUBLE_SURNAMES)]
    roll //= len(_SURNAMES)
    first = _GIVEN[roll % len(_GIVEN)]
    roll //= len(_GIVEN)
    if fate < 30:
        return surname + first + _RARE_GIVEN[roll % len(_RARE_GIVEN)]
    if fate < 250:
        return surname + first
    return surname + first + _GIVEN[roll % len(_GIVEN)]


def _address(roll: int) -> str:
    roll, district = divmod(roll, len(_DISTRICTS))
    roll, street = divmod(roll, len(_STREET_NAMES))
    roll, kind = divmod(roll, len(_STREET_KINDS))
    roll, lane = divmod(roll, 1_200)
    roll, block = divmod(roll, 90)
    roll, floor = divmod(roll, 24)
    door = roll % 4 + 1
    where = f"上海市{_DISTRICTS[district]}{_STREET_NAMES[street]}{_STREET_KINDS[kind]}"
    return f"{where}{lane + 10}弄{block + 1}号{floor + 1}{door:02d}室"
