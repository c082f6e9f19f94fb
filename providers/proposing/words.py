"""The words by which companies name their columns; those of other languages in words_alone."""

import re
import unicodedata
from typing import Final, NamedTuple

from providers.profile_tables import Role
from providers.proposing.words_alone import ALONE, NEVER_WITHIN, OF_NO_MEASURE, ONLY_AT_END

_ROLES: Final[dict[Role, str]] = {
    "account_no": "户号 用户编号 客户编号 用户号 客户号 用户号码 用户代码 客户代码 用户编码"
    " 缴费号 缴费户号 缴费号码 缴费编号 业务号码 服务号码 号码 手机号码 手机号 客户编码 合同号"
    " 合同账户"
    " accountno accountnumber acctno account acct accountid customerno customernumber customerid"
    " custno consumerno userno contractno servicenumber number konto kontonummer kundennummer"
    " kundennr"
    " huhao yonghubianhao kehubianhao yonghuhao",
    "holder_name": "户名 用户名称 客户名称 用户名 客户名 姓名 用户姓名 客户姓名 户主 holder"
    " holdername name customername custname accountname accountholder customer inhaber kunde"
    " huming yonghuming xingming kehumingcheng yonghumingcheng",
    "address": "地址 用水地址 用电地址 用气地址 装表地址 安装地址 用户地址 联系地址 住址 address"
    " addr serviceaddress premises anschrift adresse"
    " dizhi yongshuidizhi yongdiandizhi",
    "billing_month": "账期 账单月份 账单月 电费年月 水费年月 气费年月 电费月份 水费月份 气费月份"
    " 费用月份 账务年月 账单年月 计费月份 计费年月 所属月份 所属年月 应收年月 月份 年月 月"
    " billingmonth billmonth billym month billingperiod billperiod period accountmonth monat"
    " abrechnungsmonat"
    " zhangqi yuefen nianyue",
    "billing_year": "年 年份 year jahr",
    "bill_no": "账单号 账单编号 账单号码 账单流水号 账单标识 单据号 缴费单号 应收编号 流水号"
    " 通知单号 billno billnumber billid invoiceno invoicenumber invoiceid statementno documentno"
    " nr no nummer rechnungsnr rechnungsnummer"
    " zhangdanhao zhangdanbianhao danjuhao liushuihao",
    "version": "版本 版本号 version ver",
    "status": "状态 账单状态 冲销标志 冲正标志 作废标志 标志 类别 账单类别 记录状态 借贷 借贷方向"
    " 借贷标志 方向 红蓝标志 红冲标志 红字标志 作废 是否作废 是否冲销 是否冲红 单据类型 status flag"
    " action billstatus debitcredit drcr dc dcflag void voided cancelled doctype documenttype"
    " sign amountsign 正负号 符号 金额符号"
    " zhuangtai",
    "period_from": "起始日 起始日期 抄表起 起 开始日 开始日期 计费起始日 计费开始日期 用量起"
    " 抄表起始日期 周期起 上次抄表日 上次抄表日期 上期抄表日期 from periodfrom periodstart start"
    " startdate startdt begin fromdate datefrom von periodfromon fromon servicefrom"
    " servicefromdate svcfromdt qishiri qishiriqi kaishiri kaishiriqi",
    "period_to": "截止日 抄表止 止 结束日 结束日期 终止日期 计费截止日 计费结束日期 用量止"
    " 周期止 本次抄表日 本次抄表日期 本期抄表日期 抄表截止日期 to periodto periodend end enddate"
    " enddt todate dateto until bis periodtoon toon serviceto servicetodate svctodt"
    " jieshuri jieshuriqi zhongzhiriqi",
    "issued": "出账日 出账 出账日期 发行日期 账单日 账单日期 开账日期 出单日期 制单日期 开票日期"
    " 凭证日期 单据日期 生成日期 issued issuedate dateissued billdate billingdate invoicedate"
    " issuedt billdt invoicedt issuedon billedon"
    " statementdate am rechnungsdatum chuzhangri chuzhangriqi zhangdanriqi kaizhangriqi",
    "due": "最后缴费日 最后缴费日期 缴费截止日期 缴费截止日 缴费期限 截止 截止日期 到期日"
    " 到期日期 最迟缴费日 最晚缴费日 due duedate duedt datedue payby paymentdue paymentduedate"
    " dueon payableby payableon lastdateofpayment lastdatetopay paymentdeadline"
    " lastpayday lastpaymentdate biszum faellig faelligam"
    " jiezhiri jiezhiriqi jiaofeijiezhiri zuihoujiaofeiri daoqiri",
    "amount": "应缴金额 应收电费 应收水费 应收气费 应缴 应收 应收金额 应缴费用 应缴费额 金额"
    " 总金额 总额 合计 合计金额 账单金额 本期应缴 本期金额 应付 应付金额 费用合计 总费用"
    " 电费金额 水费金额 燃气费金额 amount total amountdue totalamount totaldue sum sumpay money"
    " shouldpayfee billamount amt amtdue totamt totalamt totamtdue totalamtdue billamt invoiceamt"
    " invoiceamount netpayable netamountpayable amountpayable payableamount betrag gesamtbetrag"
    " yingjiaojine yingshoujine jine yingjiao yingshou zongjine heji",
    "quantity": "用水量 用电量 用气量 用量 水量 电量 气量 峰电量 谷电量 尖电量 平电量 总电量"
    " 总用量 usage consumption quantity used kwh menge verbrauch waternum"
    " yongshuiliang yongdianliang yongqiliang yongliang",
    "charge": "供水费 排水费 水费 污水费 污水处理费 水资源费 电费 峰电费 谷电费 气费 燃气费"
    " 基本费 月租费 套餐费 附加费 垃圾费 违约金 滞纳金 优惠 费用 费用金额 明细金额 fee charge"
    " waterfee dirtyfee itemamount lineamount",
    "item_name": "项目 费用项目 费项 费用名称 收费项目 item itemname feename position",
    "original_no": "原账单号 原账单编号 originalno originalbillno",
    "early_until": "优惠截止日 优惠截止日期 earlyuntil discountuntil",
    "early_amount": "优惠金额 优惠后金额 earlyamount",
    "late_amount": "逾期金额 逾期应缴 lateamount",
    "minimum_amount": "最低应缴 最低缴费额 最低还款额 minimumamount minimumdue",
    "unused": "序号 行号 备注 说明 读数 上次读数 本次读数 上期读数 本期读数 起度 止度 抄表员"
    " 单价 电话 表号 remark remarks memo note notes lastreading currentreading reading seq rowno"
    " lineno 已缴金额 余额 扣款账号 银行账号 币种 币别 货币 货币代码 币种代码 currency currencycode"
    " curr ccy crcy waehrg waehrung",
}  # fmt: skip
_TRADITIONAL: Final = str.maketrans(
    "戶號帳單額賬電氣費應繳實發終開結稱編碼務聯繫區樓國際項備註計總數標誌狀態錄類別記錄間時期後歸屬週細",
    "户号账单额账电气费应缴实发终开结称编码务联系区楼国际项备注计总数标志状态录类别记录间时期后归属周细",
)
_UNITS: Final = {
    "元": "yuan", "圆": "yuan", "rmb": "yuan", "cny": "yuan", "yuan": "yuan", "分": "fen",
    "fen": "fen", "cent": "fen", "cents": "fen", "角": "jiao", "厘": "li",
}  # fmt: skip
_OTHER_UNITS: Final = (
    "万 万元 千元 百元 百万 百万元 亿元 usd us$ $ 美元 美金 hkd hk$ 港币 港元 eur € 欧元 mop 澳门元"
    " twd ntd nt$ 新台币 台币 jpy 日元 gbp £ 英镑"
)
OTHER_UNIT: Final = "?"  # a unit or a currency that the name states, and that we do not count in
_IN_BRACKETS = re.compile(r"[((\[【]([^))\]】]*)[))\]】]")
_ACCENTS = re.compile("[\u0300-\u036f]")
_UNIT_TAIL = re.compile(r"[_ -](yuan|fen|cents?|cny|rmb)$")
_NUMBER_TAIL = re.compile(r"(?:#|\bnbr|_nbr|_num)\.?\s*$")  # ACCT_NBR, Invoice #
_CAMEL = re.compile(r"(?<=[a-z])(?=(?:Yuan|Fen|Cents?|Cny|Rmb)$)")  # amountFen
_STATED = re.compile(
    r"(?:单位|币种|货币|currency|unit|amounts? in)[\s:=]*(?:人民币)?[\s:/]*([^\s,;()]+)"
)
_QUANTITIES: Final = {"m³": ("m3", "m³", "立方", "吨", "水", "气"), "kWh": ("kwh", "度", "电")}
_HINTS: Final = {"水": "water", "电": "power", "燃气": "gas", "气": "gas", "话费": "telecom",
                 "套餐": "telecom", "kwh": "power"}  # fmt: skip


class Meaning(NamedTuple):
    """What a name says; ``exact`` where the name is the word itself."""

    role: Role
    exact: bool
    word: str

    @property
    def rank(self) -> int:
        """Where the word stands among its role's: the first is the plainest."""
        return [*_ROLES[self.role].split(), *ALONE.get(self.role, "").split()].index(self.word)


def bare(name: str) -> str:
    """Return a name without case, width, blanks, punctuation and what stands in brackets."""
    text = unicodedata.normalize("NFKC", name).casefold().translate(_TRADITIONAL)
    text = text.replace("ä", "ae").replace("ö", "oe").replace("ü", "ue").replace("帐", "账")
    text = _NUMBER_TAIL.sub("no", _UNIT_TAIL.sub("", _IN_BRACKETS.sub("", text)))
    if not text.isascii():
        text = _ACCENTS.sub("", unicodedata.normalize("NFD", text).replace("ł", "l"))
        text = unicodedata.normalize("NFC", text)
    return "".join(mark for mark in text if mark.isalnum())


_WORDS: Final[dict[str, Role]] = {
    word: role for role, words in _ROLES.items() for word in words.split()
}
_ALONE: Final[dict[str, Role]] = {
    word: role for role, words in ALONE.items() for word in words.split()
}


# Whose name, address or account it is: not the customer's.
_MEASURES: Final = ("amount", "charge", "quantity")
_OF_CUSTOMERS: Final = ("account_no", "holder_name", "address")
_OF_COMPANIES: Final = (
    "seller", "supplier", "vendor", "biller", "payee", "provider", "creditor", "remitto", "销方",
    "销售方", "对方", "商户", "收款", "供方", "供应商", "供电单位", "供水单位", "供气单位",
    "收费单位",
)  # fmt: skip


def meaning(name: str) -> Meaning | None:
    """Return what a column's name says it holds, or None."""
    plain = bare(name)
    if plain in _WORDS:
        return Meaning(_WORDS[plain], True, plain)
    if plain in _ALONE:
        return Meaning(_ALONE[plain], True, plain)
    inside = [word for word in _WORDS if word in plain and _is_said_by(word, plain)]
    if not inside:
        return None
    # The end of a compound says what it is: 居民用电量 is a quantity, 电费发行日期 a date.
    best = max(inside, key=lambda word: (plain.endswith(word), len(word)))
    if _WORDS[best] in _OF_CUSTOMERS and any(word in plain for word in _OF_COMPANIES):
        return None
    return Meaning(_WORDS[best], False, best)


def _is_said_by(word: str, plain: str) -> bool:
    """Tell whether a word within a longer name says what that holds."""
    if word in NEVER_WITHIN or (word in ONLY_AT_END and not plain.endswith(word)):
        return False
    if _WORDS[word] in _MEASURES and plain.endswith(OF_NO_MEASURE):
        return False
    return len(word) > (3 if word.isascii() else 1)


def unit_in(name: str) -> str | None:
    """Return the unit of an amount that a column's name states: ``金额(分)`` says fen.

    ``OTHER_UNIT`` where it states one that no profile counts in, as ``金额(万元)`` does.
    """
    text = _CAMEL.sub("_", unicodedata.normalize("NFKC", name)).casefold()
    below = text.rpartition(" ")[2]  # in a row of its own
    for found in (*_IN_BRACKETS.findall(text), *_UNIT_TAIL.findall(text), below):
        for part in re.split(r"[\s:;,/单位]+", found):
            if part in _UNITS:
                return _UNITS[part]
            if part in _OTHER_UNITS.split():
                return OTHER_UNIT
    return None


def is_unit(text: str) -> bool:
    """Tell whether a name is nothing but a unit, as it stands below the name of a column."""
    plain = unicodedata.normalize("NFKC", text).casefold().strip("()[]【】 ")
    known = {*_UNITS, *_OTHER_UNITS.split(), *(w for words in _QUANTITIES.values() for w in words)}
    return plain in known - {"水", "气", "电"} or plain in ("-", "/", "m3/月", "元/度", "元/吨")


def unit_stated(text: str) -> str | None:
    """Return the unit that a remark beside a table states: ``单位：分`` says fen."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    said = (unit_in(f"({found})") for found in _STATED.findall(plain))
    return next((unit for unit in said if unit is not None), None)


def usage_unit_in(name: str) -> str:
    """Return the unit of a quantity that its column's name speaks of, or nothing."""
    text = unicodedata.normalize("NFKC", name).casefold()
    for unit, words in _QUANTITIES.items():
        if any(unicodedata.normalize("NFKC", word).casefold() in text for word in words):
            return unit
    return ""


def service_in(names: list[str]) -> str | None:
    """Return the trade that the columns' names speak of, if they speak of one."""
    plain = " ".join(map(bare, names))
    found = {service for word, service in _HINTS.items() if word in plain}
    return found.pop() if len(found) == 1 else None
