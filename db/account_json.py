"""Accounts as the JSON that callers get, built where they lie: read often, and part of commands' answers.

The shape is ``services.account_views.AccountSummary``. Statements use the aliases ``a`` (account), ``c``
(creditor), ``d`` (debtor), ``k`` (collector, perhaps none) and ``s`` (score, perhaps none).
"""

_INSTANT = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""

ACCOUNT_FIELDS = f"""
        'id', a.id, 'external_ref', a.external_ref, 'agency_id', a.agency_id,
        'creditor', json_build_object('id', c.id, 'name', c.name),
        'debtor', json_build_object(
            'id', d.id, 'full_name', d.full_name, 'debtor_ref', d.debtor_ref, 'email', d.email,
            'phone', d.phone, 'city', d.city, 'state', d.state),
        'status', a.status, 'original_amount', a.original_amount::text, 'current_balance', a.balance::text,
        'currency', a.currency, 'account_type', a.account_type,
        'assigned_to', a.assigned_to, 'assigned_to_name', k.full_name,
        'due_date', a.due_date, 'priority', s.priority, 'priority_score', (s.rank * 0.01)::text,
        'risk_score', s.total, 'risk_level', s.level,
        'created_at', to_char(a.created_at AT TIME ZONE 'UTC', {_INSTANT}),
        'updated_at', to_char(a.updated_at AT TIME ZONE 'UTC', {_INSTANT})"""
"""Names and values for ``json_build_object``."""
