"""What the console says, said in Chinese too."""

from payments.reconciliation.breaks import REMEDIES
from payments.reconciliation.closing import checklist
from payments.verification import NAMES
from providers.clients.declarations import load_declaration
from providers.clients.declared import APIS
from web.look import say


def test_every_check_of_the_ledger_has_chinese_words():
    assert [name for name in NAMES if say("zh_CN", name) == name] == []


def test_every_line_of_the_checklist_has_chinese_words():
    assert [words for words in checklist.WORDS if say("zh_CN", words) == words] == []


def test_every_remedy_of_a_difference_has_chinese_words():
    assert [words for words in REMEDIES.values() if say("zh_CN", words) == words] == []


def test_every_reason_of_a_company_for_taking_nothing_back_has_chinese_words():
    calls = [load_declaration(path).reversal for path in APIS.glob("*.toml")]
    assert all(calls)
    said = {one.because for call in calls if call for one in call.results if one.means == "refused"}
    assert [words for words in said - {""} if say("zh_CN", words) == words] == []
