"""Reminders: another paper for a bill we hold, with a number of its own and perhaps a fee.

Rule 11: paying either closes both, because there is one claim: the fee is added to the bill, and a
reminder's reference leads to the bill (``billing.bills.resolve_ref``). The statements work on the
table ``verdict`` of ``billing.corrections``.
"""

from sqlalchemy import text

# Of a row ``c`` whose bill ``b``, found by the number it reminds of, may be missing.
JUDGE = """
    CASE
      WHEN c.amount_fen < 0 THEN 'negative_fee'
      WHEN b.id IS NULL THEN 'no_original'
      WHEN b.bill_no <> c.original_no THEN 'key_collision'
      WHEN EXISTS (SELECT FROM bill_reminder r WHERE r.account_id = c.account_id AND r.id = c.id)
        THEN CASE WHEN EXISTS (
                 SELECT FROM bill_reminder r
                 WHERE r.account_id = c.account_id AND r.id = c.id
                   AND (r.bill_id, r.reminder_no, r.fee_fen, r.reminded_on, r.due_on)
                     = (b.id, c.bill_no, c.amount_fen, c.issued_on, c.due_on))
             THEN 'unchanged' ELSE 'same_reminder' END
      WHEN EXISTS (SELECT FROM bill o WHERE o.account_id = c.account_id AND o.id = c.id)
        THEN 'number_taken'
      WHEN b.cancelled_at IS NOT NULL THEN 'reminds_of_nothing'
      WHEN b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen <= 0 THEN 'nothing_owed'
      WHEN b.held_by IS NOT NULL THEN 'waiting'
      ELSE 'reminded'
    END
"""

REASONS = {
    "negative_fee": "a reminder's fee is not below zero: send a correction of the bill instead",
    "no_original": "reminds of a bill we do not hold: check the account, the month and the number",
    "same_reminder": "we hold a reminder of this number with other content: give it a new number",
    "number_taken": "this reminder's number is a bill's already: give it a number of its own",
    "reminds_of_nothing": "the bill it reminds of was cancelled: nothing is owed",
    "nothing_owed": "nothing is owed on the bill it reminds of: it is paid, covered or a credit",
}

_KEEP = text("""
    INSERT INTO bill_reminder (account_id, id, bill_id, reminder_no, reminded_on, due_on, fee_fen,
                               bill_file_id, recorded_at)
    SELECT account_id, id, original_id, bill_no, issued_on, due_on, amount_fen, :bill_file_id, :now
    FROM verdict WHERE verdict = 'reminded'
""")

_POST = text("""
    INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                 credit_account_id, amount_fen, posted_on, posted_at)
    SELECT account_id, original_id, 'reminder.' || bill_no, CAST(:receivable_id AS int),
           CAST(:uncollected_id AS int), amount_fen, :posted_on, :now
    FROM verdict WHERE verdict = 'reminded' AND amount_fen > 0
""")

_RAISE = text("""
    UPDATE bill b SET adjusted_fen = b.adjusted_fen + v.amount_fen
    FROM verdict v
    WHERE v.verdict = 'reminded' AND b.account_id = v.account_id AND b.id = v.original_id
""")

ACTS = (_KEEP, _POST, _RAISE)
