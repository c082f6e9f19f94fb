"""What one payment reads under lock and writes until it is booked, as pgbench takes it."""

import re
from datetime import UTC, datetime

from bench.ledger import COMPANIES
from core.clock import billing_date, month_start
from core.keys import month_key
from payments import applying, settlement

RESIDENTS = 3_000
MONTH = month_start(billing_date(datetime.now(UTC)))
FIRST = month_key(MONTH, 1)


def pgbench_script() -> str:
    """Return what one payment reads under lock and writes, over the five transactions it takes."""
    account, bill = f"1 + :n % {RESIDENTS}", f"{FIRST} + :n / {RESIDENTS}"
    each = {
        "account_ids": f"ARRAY[{account}]", "bill_ids": f"ARRAY[{bill}]",
        "paid": "ARRAY[1000]", "adjusts": "ARRAY[0]",
        "outcomes": "ARRAY['paid']",
        "reasons": "CAST(ARRAY[NULL] AS text[])",
        "unpaid": "ARRAY['created', 'unknown', 'open', 'refused', 'expired']",
        "undecided": "ARRAY['waiting', 'not_paid']", "gateway_refs": "ARRAY['L' || :n]",
        "paid_ats": "ARRAY[now()]", "now": "now()", "stray": "''", "stray_nos": "'{}'",
        "stray_write_offs": "'{}'", "stray_fees": "'{}'",
        "payment_id": ":id", "payment_ids": "ARRAY[:id]", "payments": "ARRAY[:id]",
        "move_accounts": f"ARRAY[{account}]", "move_subjects": f"ARRAY[{bill}]",
        "move_keys": "ARRAY['paid' || chr(58) || :id]",
        "move_debits": f"ARRAY[{_code('gateway', 'sandbox')}]",
        "move_credits": f"ARRAY[{_code('receivable', COMPANIES[0])}]",
        "move_fen": "ARRAY[1000]", "posted_at": "now()",
        "posted_on": "CAST(now() AT TIME ZONE 'Asia/Shanghai' AS date)",
        "event_request_id": "''", "event_at": "now()",
        "event_topics": "ARRAY['payment.paid', 'write_off.due']",
        "event_subjects": "ARRAY[:n || '', :n || '-1']",
    }  # fmt: skip

    def filled(sql: str) -> str:
        text = re.sub(r"(?<!:):([a-z_]+)\b(?=\W)", lambda name: each.get(name[1], name[0]), sql)
        typed = re.sub(r"(?<!:):(n|id)\b", r"CAST(:\1 AS bigint)", text)  # $1 alone has no type
        return " ".join(typed.split()) + ";\n"

    parts = [_OPEN.format(account=account, bill=bill), _HEAR]
    parts += [settlement._LOCK.text, applying.APPLY.text, _DONE]
    statements = [one for part in parts for one in part.split(";\n") if one.strip()]
    head = f"SELECT nextval('bench_n') AS n \\gset\n\\set id {FIRST} + 1000000000 + :n\n"
    return head + "".join(filled(one) for one in statements)


def _code(kind: str, owner: str) -> str:
    """Write a ledger account's code; pgbench takes a colon in a string for a variable."""
    return f"'{kind}' || chr(58) || '{owner}'"


# The resident's POST: the bills locked, the payment made, its bills held, opened at the gateway.
_OPEN = """
BEGIN;
SELECT account_id, id, held_by, amount_fen, paid_fen FROM bill
WHERE account_id = {account} AND id = {bill} FOR UPDATE;
INSERT INTO payment (id, payer_id, gateway, order_no, return_url, amount_fen, status, created_at,
                     status_at, expires_at)
VALUES (:id, 1 + :n % 3000, 'sandbox', 'L' || :n, '', 1000, 'created', now(), now(), now());
INSERT INTO payment_item (payment_id, account_id, bill_id, amount_fen, write_off_no, outcome,
                          outcome_at)
VALUES (:id, {account}, {bill}, 1000, 'L' || :n, 'waiting', now());
UPDATE bill SET held_by = :id WHERE account_id = {account} AND id = {bill};
INSERT INTO idempotent_request (person_id, key, request_sha256, payment_id, created_at)
VALUES (1 + :n % 3000, 'L' || :n, '', :id, now());
INSERT INTO outbox_event (topic, subject_id, emitted_at)
VALUES ('payment.created', :n || '', now());
COMMIT;
BEGIN;
SELECT id FROM payment WHERE id = :id FOR UPDATE;
UPDATE payment SET status = 'open', status_at = now(), gateway_ref = 'L' || :n WHERE id = :id;
COMMIT;
"""
# The callback kept, turned into a job, the job taken.
_HEAR = """
BEGIN;
INSERT INTO gateway_callback (gateway, external_id, kind, reference, body, received_at)
VALUES ('sandbox', 'L' || :n, 'payment', 'L' || :n, '', now());
INSERT INTO outbox_event (topic, subject_id, emitted_at, relayed_at)
VALUES ('gateway_callback.received', :n || '', now(), now());
COMMIT;
INSERT INTO job (task, subject_id, event_id, state, attempts, due_at, lease_until)
VALUES ('payments.callback', :n || '', currval('outbox_event_id_seq'), 'running', 1, now(), now());
BEGIN;
"""
_DONE = """
COMMIT;
UPDATE job SET state = 'done', lease_until = NULL, finished_at = now()
WHERE id = currval('job_id_seq');
"""
