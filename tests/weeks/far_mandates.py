"""The far side of mandates: what payers let a gateway or a bank debit, and what they decided."""

from dataclasses import dataclass

from payments.gateways.base import MandateReply, MandateState


@dataclass
class FarMandate:
    mandate_no: str
    ref: str
    maximum_fen: int | None
    state: MandateState = MandateState.OPEN


class Mandates:
    """A gateway's mandates, each once by our number."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.known: dict[str, FarMandate] = {}

    def sign(self, mandate_no: str, maximum_fen: int | None) -> FarMandate:
        """Take in a mandate whose payer has not agreed yet; the same again is the same."""
        made = FarMandate(mandate_no, f"{self.code}-m{len(self.known) + 1}", maximum_fen)
        return self.known.setdefault(mandate_no, made)

    def in_state(self, *states: MandateState) -> list[FarMandate]:
        return [one for one in self.known.values() if one.state in states]

    def by_ref(self, ref: str) -> FarMandate | None:
        return next((one for one in self.known.values() if one.ref == ref), None)

    def end(self, mandate_no: str) -> None:
        """End a mandate, whoever wants it."""
        one = self.known.get(mandate_no)
        if one is not None and one.state in {MandateState.OPEN, MandateState.ACTIVE}:
            one.state = MandateState.ENDED

    def told_of(self, mandate_no: str) -> MandateReply:
        one = self.known.get(mandate_no)
        if one is None:
            return MandateReply(state=MandateState.NOT_FOUND)
        url = f"https://{self.code}.example/{one.ref}" if one.state is MandateState.OPEN else None
        return MandateReply(state=one.state, mandate_ref=one.ref, sign_url=url)
