"""Handing over what is due: claimed, sent outside any transaction, written down as answers come.

A killed worker leaves its notices claimed; when the lease ends another takes them, under the same
message ids. Little is ever sent and not yet written down: answers are recorded while the next
messages are on their way.
"""

import random
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg import DataError
from sqlmodel import Session

from core import log
from core.db import transaction
from core.errors import CityBillError
from notifications.attachments import attach
from notifications.channels.base import Attachment, Carrier, Kind, Message
from notifications.choice.unsubscribing import unsubscribe_url
from notifications.models import Lane
from notifications.sending import judging
from notifications.sending.aftermath import forget_gone, settle_permit, take_permits
from notifications.sending.asking import Answer, Reply, ask_each, broken
from notifications.sending.carriers import Outcome, Tried, choose, count_outcomes
from notifications.sending.claiming import Claimed, claim
from notifications.sending.looking import Look, look
from notifications.sending.messages import message_of
from notifications.sending.recording import Ended, record

BATCH = 100
AT_LEAST, SENDERS = 4, 32  # messages on their way at once, of one batch
_APART_MS = 4  # so long a carrier may take for another to be on its way beside it
TURN_SECONDS = 5  # nothing is begun after it: others may have what is left
_LATEST_SECONDS = 30  # and nobody else is asked after it: a lease is twice that
_senders = ThreadPoolExecutor(2 * SENDERS, thread_name_prefix="sending")
WECHAT = "wechat"
_chance = random.Random()  # noqa: S311  of carriers and pauses
_log = log.logger(__name__)

_OUTCOMES = {
    Answer.TAKEN: Outcome.TAKEN,
    Answer.SILENT: Outcome.SILENT,
    Answer.NOT_NOW: Outcome.NOT_NOW,
    Answer.BROKEN: Outcome.NOT_NOW,
}


@dataclass(slots=True)
class _Going:
    """A notice with the carrier whose turn it is."""

    claimed: Claimed
    seen: Look
    carrier: Carrier | None = None
    asked: frozenset[str] = frozenset()  # those that surely did not take it
    messages: Sequence[Message] = ()
    permit: str | None = None  # WeChat's template, of which it used one
    reply: Reply | None = None  # the last carrier's

    @property
    def channel(self) -> str:
        return self.claimed.notice.channel

    @property
    def person_id(self) -> int:
        return self.claimed.notice.person_id

    def send(self) -> Reply:
        assert self.carrier is not None
        return ask_each(self.carrier, self.messages)

    def not_asked(self, carriers: Mapping[str, Sequence[Carrier]]) -> frozenset[str]:
        """Return who may be asked; only the one that fell silent, where one did."""
        codes = {one.code for one in carriers.get(self.channel, ())}
        silent = self.claimed.may_have_it
        return frozenset((codes if silent is None else codes & {silent}) - self.asked)


@dataclass(frozen=True, slots=True)
class House:
    """What a notice says of us: where links lead, and what signs them."""

    public_url: str = ""
    secret: str = ""


def hand_over_due(
    lane: Lane,
    carriers: Mapping[str, Sequence[Carrier]],
    *,
    now: datetime,
    house: House | None = None,
    limit: int = BATCH,
    draw: random.Random = _chance,
) -> int:
    """Hand over what is due of a lane, ``limit`` notices at most; returns how many were claimed.

    Any number of workers may do this at once. Each gives back what it has not begun when its turn
    is over, so that a slow carrier holds up no more than what is in its hands.

    Args:
        carriers: of each channel, those that may be asked.
    """
    started = time.monotonic()
    with transaction() as session:
        claimed = claim(session, lane, now=now, limit=limit)
    if claimed:
        _Turn(carriers, house or House(), draw, now, started).hand_over(claimed)
    return len(claimed)


@dataclass(slots=True)
class _Turn:
    """One worker's batch on its way."""

    carriers: Mapping[str, Sequence[Carrier]]
    house: House
    draw: random.Random
    now: datetime
    started: float
    ended: list[Ended] = field(default_factory=list)
    gone: list[tuple[str, str]] = field(default_factory=list)  # addresses, by channel
    permits: list[tuple[_Going, Answer]] = field(default_factory=list)  # and what came of them
    tried: list[Tried] = field(default_factory=list)
    at_once: int = AT_LEAST
    files: dict[str, Attachment] = field(default_factory=dict)

    def at(self) -> datetime:
        return self.now + timedelta(seconds=time.monotonic() - self.started)

    def _is_over(self, seconds: int) -> bool:
        return time.monotonic() - self.started > seconds

    def hand_over(self, claimed: Sequence[Claimed]) -> None:
        ends = {one.id: judging.hopeless(one, now=self.now) for one in claimed}
        self.ended += [end for end in ends.values() if end is not None]
        waiting = deque(self._looked_at([one for one in claimed if ends[one.id] is None]))
        running: dict[Future[Reply], _Going] = {}
        self._write_down()
        while waiting or running:
            while waiting and len(running) < self.at_once and self._may_begin(waiting[0]):
                one = waiting.popleft()
                if self._compose(one):
                    running[_senders.submit(one.send)] = one
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            others = [self._heard(running.pop(answer), answer) for answer in done]
            waiting.extendleft(self._write_down([one for one in others if one is not None]))
        self._give_back(waiting)
        self._write_down()
        with transaction() as session:
            count_outcomes(session, self.tried, now=self.at())

    def _may_begin(self, one: _Going) -> bool:
        """Tell whether there is time; more of it where somebody has been asked already."""
        return not self._is_over(TURN_SECONDS if one.reply is None else _LATEST_SECONDS)

    def _give_back(self, waiting: Iterable[_Going]) -> None:
        for one in waiting:
            if one.permit is not None:
                self.permits.append((one, Answer.NOT_NOW))
            if one.reply is not None:
                self.ended.append(self._judged(one, one.reply))
            else:
                due_at = one.claimed.was_due_at
                self.ended.append(judging.given_back(one.claimed, self.at(), due_at=due_at))

    def _looked_at(self, claimed: Sequence[Claimed]) -> list[_Going]:
        """Return what is to be sent, each with its carrier.

        One that cannot even be looked at stays in its lease, and does not keep the others from it.
        """
        try:
            with transaction() as session:
                seen = look(session, claimed, now=self.now)
                ended = {one.id: judging.before(one, seen, now=self.now) for one in claimed}
                going = [_Going(one, seen) for one in claimed if ended[one.id] is None]
                going = self._with_carriers(session, going)
            self.ended += [one for one in ended.values() if one is not None]
            return going
        except (DataError, LookupError, ValueError) as failure:
            if len(claimed) == 1:
                _log.error("notice_broken", notice_id=claimed[0].id, exc_info=failure)
                return []
            return [each for one in claimed for each in self._looked_at([one])]

    def _with_carriers(self, session: Session, going: Sequence[_Going]) -> list[_Going]:
        """Give each notice a carrier that has not been asked yet; those nobody may take, wait."""
        groups: dict[tuple[str, frozenset[str]], list[_Going]] = {}
        for one in going:
            groups.setdefault((one.channel, one.not_asked(self.carriers)), []).append(one)
        chosen = []
        for (channel, codes), group in sorted(groups.items(), key=lambda item: sorted(item[0][1])):
            among = [one for one in self.carriers.get(channel, ()) if one.code in codes]
            if not among:
                self.ended += [judging.without_carrier(one.claimed, self.at()) for one in group]
                continue
            count, now = len(group), self.at()
            picked = choose(session, among, count=count, now=now, draw=self.draw)
            for one, carrier in zip(group, picked, strict=True):
                if carrier is None and one.reply is not None:
                    self.ended.append(self._judged(one, one.reply))
                elif carrier is None:
                    self.ended.append(judging.nobody_free(one.claimed, now, self.draw))
                else:
                    one.carrier = carrier
                    chosen.append(one)
        return self._permitted(session, chosen)

    def _permitted(self, session: Session, going: Sequence[_Going]) -> list[_Going]:
        """Leave out what WeChat would not take: their readers allow no more of these."""
        asked = {
            one.claimed.id: (one, template_id.partition(":")[0])
            for one in going
            if one.channel == WECHAT and (template_id := self._template(one)) is not None
        }
        wanted = [(each, one.person_id, template) for each, (one, template) in asked.items()]
        held = {each: one.claimed.notice.permit or "" for each, (one, _) in asked.items()}
        used, refused = take_permits(session, wanted, held=held)
        for each in used:
            asked[each][0].permit = asked[each][1]
        for each in refused:
            self.ended.append(judging.not_permitted(asked[each][0].claimed, self.at()))
        return [one for one in going if one.claimed.id not in refused]

    def _template(self, one: _Going) -> str | None:
        """Return what a notice's carrier knows its text as."""
        assert one.carrier is not None
        return one.seen.template(one.claimed.notice, one.carrier.code)

    def _compose(self, one: _Going) -> bool:
        """Make a notice's messages; tells whether there is something to send."""
        notice = one.claimed.notice
        way_out = ""
        if notice.kind is Kind.COMMERCIAL:
            way_out = unsubscribe_url(
                self.house.public_url, notice.person_id, notice.channel, secret=self.house.secret
            )
        try:
            files = (self._file(notice.attachment_ref),) if notice.attachment_ref else ()
        except CityBillError as missing:
            self.ended.append(judging.not_composed(one.claimed, self.at(), missing.code))
            return False
        one.messages = [
            message_of(
                notice, address=where.address, suffix=where.suffix,
                template_id=self._template(one), unsubscribe_url=way_out, attachments=files,
            )
            for where in one.seen.wheres[one.claimed.id]
        ]  # fmt: skip
        return True

    def _file(self, ref: str) -> Attachment:
        """Return a file that goes with notices; made once for all of a batch."""
        if ref not in self.files:
            with transaction() as session:
                self.files[ref] = attach(session, ref, public_url=self.house.public_url)
        return self.files[ref]

    def _heard(self, one: _Going, answer: Future[Reply]) -> _Going | None:
        """Take in an answer; returns the notice where another carrier is to be asked now."""
        assert one.carrier is not None
        failure = answer.exception()
        if failure is None:
            one.reply = answer.result()
        else:  # of anybody's adapter; it must not stop the others
            _log.error("carrier_broken", carrier=one.carrier.code, exc_info=failure)
            one.reply = broken(one.carrier, one.messages[0])
        # No more than its time asks for: with a worker that is killed, what was on its way is sent
        # a second time.
        self.at_once = min(AT_LEAST + one.reply.took_ms // _APART_MS, SENDERS)
        self.gone += [(one.channel, address) for address in one.reply.gone]
        if one.permit is not None:
            self.permits.append((one, one.reply.answer))
        self.tried.append(self._tried(one, one.reply))
        one.asked |= {one.carrier.code}
        if one.reply.answer is Answer.NOT_NOW and one.not_asked(self.carriers):
            return one
        self.ended.append(self._judged(one, one.reply))
        return None

    def _tried(self, one: _Going, reply: Reply) -> Tried:
        since = max(one.claimed.notice.created_at, one.claimed.was_due_at)
        waited_ms = max(self.at() - since, timedelta(0)) // timedelta(milliseconds=1)
        outcome = _OUTCOMES.get(reply.answer, Outcome.REFUSED)
        return Tried(reply.carrier, one.channel, outcome, waited_ms)

    def _judged(self, one: _Going, reply: Reply) -> Ended:
        repeats_safely = next(
            each.repeats_safely for each in self.carriers[one.channel] if each.code == reply.carrier
        )
        return judging.after(
            one.claimed, reply, behind=one.claimed.id in one.seen.behind,
            repeats_safely=repeats_safely, at=self.at(), draw=self.draw,
        )  # fmt: skip

    def _write_down(self, others: Sequence[_Going] = ()) -> list[_Going]:
        """Write down what has ended; returns those that go to another carrier, with it."""
        if not (self.ended or others):
            return []
        with transaction() as session:
            for one, answer in self.permits:
                settle_permit(session, one.claimed.id, one.person_id, one.permit or "", answer)
                one.permit = None
            forget_gone(session, self.gone, now=self.at())
            going = self._with_carriers(session, others)
            record(session, self.ended, now=self.now)
        self.ended, self.gone, self.permits = [], [], []
        return going
