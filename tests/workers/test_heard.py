"""Receipts that come over a carrier's own connection end where those that call us do."""

import json
from collections.abc import Iterator

import pytest
from sqlmodel import select

from core.db import transaction
from core.settings import settings
from notifications.channels.base import Fate
from notifications.channels.smpp import Smpp
from notifications.sending.models import CarrierReceipt
from tests.notifications.channels.smpp_far import SmsCentre, until
from tests.notifications.channels.test_smpp import BILL
from workers.start import outside


@pytest.fixture
def centre(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmsCentre]:
    far = SmsCentre()
    told = {
        "host": "127.0.0.1", "port": str(far.port), "system_id": far.system_id,
        "password": far.password, "sender": "10690000",
    }  # fmt: skip
    monkeypatch.setenv("CITYBILL_CARRIERS", json.dumps({"smpp": told}))
    settings.cache_clear()
    yield far
    settings.cache_clear()
    far.close()


def test_a_process_that_sends_keeps_what_it_hears(city, centre):
    carriers = outside.__wrapped__().carriers["sms"]
    [smpp] = [carrier for carrier in carriers if isinstance(carrier, Smpp)]
    ref = smpp.send(BILL).ref

    centre.tell(ref, "DELIVRD")
    centre.tell(ref, "DELIVRD")

    until(lambda: len(centre.answered) == 2)
    smpp.close()
    assert [status for _, status in centre.answered] == [0, 0]
    with transaction() as session:
        [kept] = session.exec(select(CarrierReceipt)).all()
    assert (kept.carrier, kept.ref, kept.fate) == ("smpp", ref, Fate.DELIVERED)
