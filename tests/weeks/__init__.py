"""A deterministic simulation: one seed is one random city week, against a real PostgreSQL.

Residents, gateways, companies and our own processes take steps in an order that a seed decides.
Far sides fail in every way they know, processes die between any two steps, bells are lost, clocks
jump. What runs is the real code: checkout, callbacks, the outbox, the job runner, the jobs. What is
made up is the far side, which keeps books of its own. Then the faults end, everything that is due
is done, and the two sides' books are compared, fen by fen.

A seed is the whole story: the same seed takes the same steps. ``python -m tests.weeks --seed 7
--trace`` tells one.
"""
