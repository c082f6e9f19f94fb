"""City Water's live API. Source: docs/wire/write-off.md."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.clock import utc_now
from simulator.confirmation_files import water_file
from simulator.confirmations import DayList
from simulator.counter import Counter
from simulator.signatures import check_signature, write_off_signature
from simulator.utility_books import Account, OpenBills, ReversalRequest, Verdict, WriteOffRequest
from simulator.wire import read_json, sent_path, utc_text

_STATUS_OF = {
    "unknown_account": HTTPStatus.NOT_FOUND,
    "several_accounts": HTTPStatus.MULTIPLE_CHOICES,
}


def routes(counter: Counter) -> list[Route]:
    """Return what City Water can be asked."""

    async def write_off(request: Request) -> Response:
        body = await _signed_body(request, counter.secret)
        return await counter.write_off(read_json(WriteOffRequest, body), _verdict)

    async def find(request: Request) -> Response:
        await _signed_body(request, counter.secret)
        return await counter.find(request.path_params["write_off_no"], _found)

    async def reverse(request: Request) -> Response:
        body = await _signed_body(request, counter.secret)
        return await counter.reverse(read_json(ReversalRequest, body), _reversed)

    async def bills(request: Request) -> Response:
        await _signed_body(request, counter.secret)
        return await counter.open_bills(request.path_params["account_no"], _bills)

    async def account(request: Request) -> Response:
        await _signed_body(request, counter.secret)
        holder = request.query_params.get("holder", "")
        return await counter.account(request.path_params["account_no"], holder, _account)

    async def confirmations(request: Request) -> Response:
        await _signed_body(request, counter.secret)
        return await counter.confirmations(request.path_params["day"], _confirmations)

    return [
        Route("/confirmations/{day}", confirmations),
        Route("/write-offs", write_off, methods=["POST"]),
        Route("/reversals", reverse, methods=["POST"]),
        Route("/write-offs/{write_off_no:path}", find),
        Route("/accounts/{account_no:path}/bills", bills),
        Route("/accounts/{account_no:path}", account),
    ]


async def _signed_body(request: Request, secret: str) -> bytes:
    """Return the body of a request whose signature holds. Raises NotSignedIn."""
    body = await request.body()
    time_text = request.headers.get("x-citybill-time", "")
    expected = write_off_signature(
        secret, time_text, method=request.method, path=sent_path(request), body=body
    )
    given = request.headers.get("x-citybill-signature", "")
    check_signature(expected, given, time_text, now=utc_now())
    return body


def _verdict(said: Verdict) -> Response:
    common = {"result": said.result, "write_off_no": said.write_off_no}
    if said.result == "refused":
        return JSONResponse(common | {"reason_code": said.reason_code, "reason": said.reason})
    if said.result == "pending":
        return JSONResponse(common)
    accepted = {"utility_ref": said.receipt, "amount_fen": said.amount_fen}
    return JSONResponse(common | accepted | {"written_off_at": utc_text(said.at)})


def _reversed(said: Verdict) -> Response:
    told = {"reversal_no": said.reversal_no, "write_off_no": said.write_off_no}
    if said.result == "refused":
        why = {"reason_code": said.reason_code, "reason": said.reason}
        return JSONResponse({"result": "refused"} | told | why)
    if said.result == "pending":
        return JSONResponse({"result": "pending"} | told)
    done = {"utility_ref": said.receipt, "amount_fen": said.amount_fen}
    return JSONResponse({"result": "reversed"} | told | done | {"reversed_at": utc_text(said.at)})


def _found(said: Verdict | None) -> Response:
    if said is None:
        return JSONResponse({"result": "unknown"}, HTTPStatus.NOT_FOUND)
    return _verdict(said)


def _bills(said: OpenBills) -> Response:
    answer: dict[str, object] = {"result": said.result}
    if said.bills:
        answer["bills"] = [
            {
                "billing_month": f"{bill.billing_month:%Y-%m}",
                "bill_no": bill.bill_no,
                "version": bill.version,
                "issued": bill.issued_on.isoformat(),
                "due": bill.due_on.isoformat(),
                "amount_fen": bill.amount_fen,
            }
            for bill in said.bills
        ]
    return JSONResponse(answer, _STATUS_OF.get(said.result, HTTPStatus.OK))


def _confirmations(said: DayList | None) -> Response:
    if said is None:
        return JSONResponse({"result": "not_yet"}, HTTPStatus.NOT_FOUND)
    if not said.rows:
        return JSONResponse({"result": "no_data"})
    return Response(water_file(said), media_type="text/csv")


def _account(said: Account) -> Response:
    answer = {"result": said.result} | ({"holder": said.holder} if said.holder else {})
    return JSONResponse(answer, _STATUS_OF.get(said.result, HTTPStatus.OK))
