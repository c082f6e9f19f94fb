"""What goes with a notice as a file: made when it is sent, the same bytes each time."""

from datetime import date

from sqlmodel import Session

from billing.documents.household_statements import household_statement_pdf
from billing.household_statement import statement_of
from core.errors import NotFound
from notifications.channels.base import Attachment


def attach(session: Session, ref: str, *, public_url: str = "") -> Attachment:
    """Return the file that ``ref`` names: ``"statement:<household>:<YYYY-MM>:<locale>"``.

    Behind it stands ``":<person>"`` for who sees only a part of what the home sees.

    Raises:
        NotFound: no such file can be made.
    """
    kind, _, of = ref.partition(":")
    if kind != "statement":
        raise NotFound(f"there is no attachment of the kind {kind!r}")
    household_id, month, locale, *person_id = of.split(":")
    return statement_file(
        session, int(household_id), date.fromisoformat(f"{month}-01"), locale,
        person_id=int(person_id[0]) if person_id else None, public_url=public_url,
    )  # fmt: skip


def statement_file(
    session: Session,
    household_id: int,
    month: date,
    locale: str,
    *,
    person_id: int | None = None,
    public_url: str = "",
) -> Attachment:
    """Return the statement of a household's month as a PDF.

    Args:
        person_id: of what this one of its people sees alone.
        public_url: where we are, for its codes.

    Raises:
        NotFound: nothing happened in that month.
    """
    statement = statement_of(session, household_id, month, person_id=person_id)
    content = household_statement_pdf(statement, locale=locale, public_url=public_url)
    return Attachment(f"citybill-{month:%Y-%m}.pdf", "application/pdf", content)
