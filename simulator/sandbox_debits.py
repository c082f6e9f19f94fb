"""The sandbox gateway's mandates over HTTP: the page where a payer agrees, and debits.

Source: docs/wire/sandbox-gateway.md, "Mandates".
"""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from core.clock import utc_now
from core.errors import Invalid
from simulator.pages import page
from simulator.sandbox import Books, Mandates, SignedBody, answer, order_facts, public_url, signed
from simulator.sandbox_mandates import Mandate, MandateChoice, MandateRequest
from simulator.sandbox_records import DebitRequest
from simulator.wire import is_form, read_json

router = APIRouter(prefix="/sandbox")
_ANSWERS = {MandateChoice.AGREE, MandateChoice.REFUSE}


def _facts(mandate: Mandate) -> dict[str, object]:
    return {
        "mandate_no": mandate.mandate_no,
        "mandate_ref": mandate.mandate_ref,
        "status": mandate.status,
        "maximum_fen": mandate.maximum_fen,
    }


@router.post("/mandates")
async def sign(body: SignedBody, books: Mandates, request: Request) -> Response:
    """Take in a mandate; ``sign_url`` is where its payer agrees."""
    mandate, is_new = books.sign(read_json(MandateRequest, body), now=utc_now())
    url = f"{public_url(request)}/sandbox/sign/{mandate.mandate_ref}"
    return JSONResponse(_facts(mandate) | {"sign_url": url}, 201 if is_new else 200)


@router.get("/mandates/{mandate_no}", dependencies=signed)
async def query_mandate(mandate_no: str, books: Mandates) -> Response:
    """Tell how a mandate stands."""
    return JSONResponse(_facts(books.get(mandate_no)))


@router.post("/mandates/{mandate_no}/end", dependencies=signed)
async def end_mandate(mandate_no: str, books: Mandates) -> Response:
    """End a mandate."""
    return JSONResponse(_facts(books.end(mandate_no)))


@router.post("/debits")
async def debit(body: SignedBody, books: Mandates, orders: Books) -> Response:
    """Debit the payer of a mandate; the order is then as any other."""
    order, is_new = books.debit(read_json(DebitRequest, body), now=utc_now())
    return answer(orders, order.order_no, order_facts(order), 201 if is_new else 200)


@router.get("/sign/{mandate_ref}")
async def show_mandate(mandate_ref: str, books: Mandates) -> Response:
    """Show the payer what they are asked to agree to, or how it stands."""
    return page("sign.html", mandate=books.get_by_ref(mandate_ref))


@router.post("/sign/{mandate_ref}")
async def choose(mandate_ref: str, books: Mandates, request: Request) -> Response:
    """Do what the payer pressed; who has answered goes back to the shop."""
    said = (await request.form()).get("choice") if is_form(request) else None
    if said not in list(MandateChoice):
        raise Invalid("choice is one of: " + ", ".join(MandateChoice), code="request.malformed")
    choice = MandateChoice(str(said))
    mandate = books.choose(mandate_ref, choice, now=utc_now())
    back = mandate.return_url if choice in _ANSWERS else f"/sandbox/sign/{mandate_ref}"
    return RedirectResponse(back, status_code=303)
