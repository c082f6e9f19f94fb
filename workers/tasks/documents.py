"""Jobs of papers in volumes: cut a batch into shares, draw a share."""

from collections.abc import Mapping, Sequence

from sqlmodel import Session

from billing.documents import batches
from billing.documents.batch_papers import Press, make_share
from billing.rules.payable import Offer
from billing.views import BillView
from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from payments.quotes import offers_shown
from workers.jobs import job


@job("bulk.cut_documents")
def cut_documents(batch_id: str) -> None:
    """Cut a batch into shares."""
    with transaction() as session:
        batches.cut(session, int(batch_id), now=utc_now())


@job("bulk.draw_documents")
def draw_documents(share: str) -> None:
    """Draw one volume: ``"17.3"`` is the third of batch 17."""
    batch_id, no = share.split(".")
    chosen = settings()
    press = Press(chosen.documents_dir, chosen.public_url, _offers, utc_now())
    make_share(int(batch_id), int(no), press)


def _offers(session: Session, bills: Sequence[BillView]) -> Mapping[str, tuple[Offer, ...]]:
    return offers_shown(session, bills, now=utc_now())
