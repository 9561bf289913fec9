"""Plans: what of an instalment was asked for as agreed, and when a plan is to be looked at. Payments: whether
somebody has taken the request back, and at which Stripe account they were begun, which is one agency's.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ALTERATIONS = """
ALTER TABLE payment_plan
    ADD COLUMN varies_down BOOLEAN DEFAULT true NOT NULL,
    ADD COLUMN next_look_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE plan_instalment
    ADD COLUMN declines INTEGER DEFAULT 0 NOT NULL,
    ADD COLUMN asked_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN judged_on DATE,
    ADD CONSTRAINT ck_plan_instalment_declines CHECK (declines BETWEEN 0 AND 3);
ALTER TABLE payment
    ADD COLUMN cancel_requested_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN processor_account TEXT;
UPDATE payment p SET processor_account = c.account_ref FROM stripe_credentials c
 WHERE c.agency_id = p.agency_id AND COALESCE(p.processor_ref, p.checkout_ref) IS NOT NULL;
ALTER TABLE stripe_credentials ADD CONSTRAINT uq_stripe_credentials_account_ref UNIQUE (account_ref);
UPDATE plan_instalment i
   SET declines = LEAST(p.declined, 3), asked_at = p.first_asked_at
  FROM (SELECT instalment_id, min(created_at) first_asked_at,
               count(*) FILTER (WHERE status = 'failed' AND off_session AND failure_code
                   IS DISTINCT FROM 'not_attempted' AND failure_code IS DISTINCT FROM 'no_longer_taken')
                   declined
          FROM payment WHERE instalment_id IS NOT NULL GROUP BY instalment_id) p
 WHERE p.instalment_id = i.id AND i.asked_on >= i.collect_on;
"""

AS_IT_WAS = """
ALTER TABLE stripe_credentials DROP CONSTRAINT uq_stripe_credentials_account_ref;
ALTER TABLE payment DROP COLUMN processor_account, DROP COLUMN cancel_requested_at;
ALTER TABLE plan_instalment DROP COLUMN judged_on, DROP COLUMN asked_at, DROP COLUMN declines;
ALTER TABLE payment_plan DROP COLUMN next_look_at, DROP COLUMN varies_down;
"""


def upgrade() -> None:
    op.execute(ALTERATIONS)


def downgrade() -> None:
    op.execute(AS_IT_WAS)
