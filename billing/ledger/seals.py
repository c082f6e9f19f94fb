"""What a day's seal is made of, as SQL: written once, so that closing and verifying cannot differ.

``docs/ledger.md`` says the same in words, for whoever recomputes a seal without this code. Nothing
here depends on a session's settings: times are microseconds, days and hashes are spelled out, and
names sort by their bytes.
"""


def micros(moment: str) -> str:
    """Return SQL for a moment in microseconds since 1970, UTC."""
    return f"(extract(epoch FROM {moment}) * 1000000)::bigint"


def iso(day: str) -> str:
    """Return SQL for a day as 2026-11-20, whatever DateStyle says."""
    return f"to_char({day}::timestamp, 'YYYY-MM-DD')"


# Seven fields that cannot hold a blank, then the entry key: whatever it holds, it is the rest.
ROW_TEXT = (
    "concat_ws(' ', account_id, subject_id, debit_account_id, credit_account_id, amount_fen, "
    f"{iso('posted_on')}, {micros('posted_at')}, entry_key)"
)
ROW_SHA256 = f"sha256(convert_to({ROW_TEXT}, 'UTF8'))"
PART_NO = "((account_id # subject_id) & 255)::smallint"
KEY_ORDER = 'account_id, subject_id, entry_key COLLATE "C"'

# The transfers of a period; a moment and not ``posted_on``, because that is what is indexed.
PERIOD = "posted_at >= :start AND posted_at < :after"

# OFFSET 0 keeps the planner from writing the digest out twice, once for each aggregate.
PARTS = f"""
    SELECT part_no, count(*)::integer AS rows,
           string_agg(substr(digest, 1, 8), ''::bytea ORDER BY {KEY_ORDER}) AS row_digests,
           sha256(string_agg(digest, ''::bytea ORDER BY {KEY_ORDER})) AS sha256
    FROM (SELECT account_id, subject_id, entry_key, {PART_NO} AS part_no, {ROW_SHA256} AS digest
          FROM ledger_transfer WHERE {PERIOD} OFFSET 0) one
    GROUP BY part_no
"""  # noqa: S608  our own text

# By pair of accounts first: there are few, so each transfer is looked at once.
MOVED = f"""
    SELECT ledger_account_id, sum(debit_fen)::bigint AS debit_fen,
           sum(credit_fen)::bigint AS credit_fen
    FROM (SELECT debit_account_id, credit_account_id, sum(amount_fen) AS fen
          FROM ledger_transfer WHERE {PERIOD} GROUP BY 1, 2) pair
    CROSS JOIN LATERAL (VALUES (debit_account_id, fen, 0), (credit_account_id, 0, fen))
               side (ledger_account_id, debit_fen, credit_fen)
    GROUP BY 1
"""  # noqa: S608  our own text


def _sized(words: str) -> str:
    """Return SQL for a text with its length in bytes before it: it may hold anything."""
    return f"octet_length(convert_to({words}, 'UTF8')) || ':' || {words}"


def seal(day: str, parts: str, rollup: str) -> str:
    """Return SQL for the hash of a closed day ``d``, out of the columns of three relations."""
    return f"""
        sha256(convert_to(
            format(E'citybill ledger day 1\\nday %s\\nbefore %s\\nclosed %s %s\\n'
                    'transfers %s %s\\n',
                   {iso(f"{day}.day")}, coalesce(encode({day}.before_sha256, 'hex'), '-'),
                   {micros(f"{day}.closed_at")}, {_sized(f"{day}.closed_by")},
                   {day}.transfers, {day}.amount_fen)
            || coalesce((
                SELECT string_agg(format(E'part %s %s %s\\n', p.part_no, p.rows,
                                         encode(p.sha256, 'hex')), '' ORDER BY p.part_no)
                FROM {parts} p WHERE p.day = {day}.day), '')
            || coalesce((
                SELECT string_agg(format(E'account %s %s %s %s %s %s\\n', b.ledger_account_id,
                                         b.debit_fen, b.credit_fen, b.total_debit_fen,
                                         b.total_credit_fen, {_sized("a.code")}),
                                  '' ORDER BY b.ledger_account_id)
                FROM {rollup} b JOIN ledger_account a ON a.id = b.ledger_account_id
                WHERE b.day = {day}.day), ''),
            'UTF8'))
    """  # noqa: S608  our own text
