"""What the console says, said in Chinese too."""

from payments.reconciliation.breaks import REMEDIES
from payments.reconciliation.closing import checklist
from payments.verification import NAMES
from web.look import say


def test_every_check_of_the_ledger_has_chinese_words():
    assert [name for name in NAMES if say("zh_CN", name) == name] == []


def test_every_line_of_the_checklist_has_chinese_words():
    assert [words for words in checklist.WORDS if say("zh_CN", words) == words] == []


def test_every_remedy_of_a_difference_has_chinese_words():
    assert [words for words in REMEDIES.values() if say("zh_CN", words) == words] == []
