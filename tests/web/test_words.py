"""What the console says, said in Chinese too."""

from payments.verification import NAMES
from web.look import say


def test_every_check_of_the_ledger_has_chinese_words():
    assert [name for name in NAMES if say("zh_CN", name) == name] == []
