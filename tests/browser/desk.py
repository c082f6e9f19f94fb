"""A desk on which every page of the console and of a company has something to show."""

from datetime import date
from io import BytesIO

from billing import paper_uploads
from core.clock import utc_now
from core.db import transaction
from identity import sign_in
from identity.models import Person, Role
from payments.desk.approvals import Kind
from payments.gateways.base import DisputeState
from tests.billing.test_papers import PNG
from tests.factories import a_person
from tests.notifications.far import a_notice
from tests.notifications.test_offers import propose as propose_offer
from tests.notifications.test_offers import written as an_offer
from tests.notifications.test_outage_notices import a_message
from tests.notifications.wording.test_versions import proposed as propose_words
from tests.payments.desk.test_approvals import MAKERS
from tests.payments.reconciliation import company_days
from tests.payments.remittance import remitting
from tests.support import complaining
from tests.web.forms import a_due_home
from tests.web.test_bank_entries import one_to_place
from tests.web.test_console_breaks import breaks


def build() -> tuple[dict[str, str], list[str]]:
    """Fill the desk.

    Returns:
        The cookies' values of a clerk with every duty and of a company's person; and where somebody
        comes only who searches.
    """
    home = a_due_home(8_650, 123_456)
    clerk, other = a_person(Role.STAFF, name="陈晓"), a_person(Role.STAFF, name="林岚")
    asked = complaining.ask(home.owner_id)
    complaining.take(asked, other)
    complaining.pass_on(asked, other)
    propose_offer(an_offer())
    a_message()
    with transaction() as session:
        resident = session.get_one(Person, home.owner_id)
    a_notice(resident, utc_now(), channel="inbox")
    company_days.run([company_days.row_of(company_days.written_off())])
    breaks("86.50", "86.40", "")
    one_to_place()
    propose_words(other)
    remitting.dispute(remitting.collected(4_200), DisputeState.OPEN)
    for kind in sorted(MAKERS, key=lambda kind: kind is Kind.REMITTANCE):  # it closes the day
        MAKERS[kind](other)
    operator = a_person(Role.OPERATOR, name="周航")
    paper_uploads.take_in(
        "water", [("B1.png", BytesIO(PNG))], date(2026, 10, 1), by=operator, now=utc_now()
    )
    searched = [
        f"/console/residents/{home.owner_id}",
        f"/console/notices/of/{home.owner_id}",
        f"/console/accounts/{home.refs[0][0]}",
    ]
    return {"/console": _session_of(clerk), "/company": _session_of(operator)}, searched


def _session_of(person_id: int) -> str:
    with transaction() as session:
        return sign_in.start_session(session, session.get_one(Person, person_id), now=utc_now())[0]
