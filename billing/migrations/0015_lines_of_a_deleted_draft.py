"""A line that stands on a draft which was deleted at Stripe stands nowhere: its row may go, and it is sent again."""

from django.db import migrations

GUARD = """
CREATE FUNCTION billing_guard_stripe_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND
        (SELECT status FROM billing_stripeinvoice WHERE id = OLD.invoice_id) = 'deleted' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE =
        'A line is sent to one invoice and stays there, unless that draft was deleted at Stripe.';
END $$;
DROP TRIGGER history_is_added_to ON billing_stripeline;
CREATE TRIGGER history_is_added_to BEFORE UPDATE OR DELETE ON billing_stripeline
    FOR EACH ROW EXECUTE FUNCTION billing_guard_stripe_line();
"""
BEFORE = """
DROP TRIGGER history_is_added_to ON billing_stripeline;
CREATE TRIGGER history_is_added_to BEFORE UPDATE OR DELETE ON billing_stripeline
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_edit('stripeline');
DROP FUNCTION billing_guard_stripe_line;
"""


class Migration(migrations.Migration):
    """The trigger of migration 0007, with that exception."""

    dependencies = [("billing", "0014_changes_that_wait")]

    operations = [migrations.RunSQL(GUARD, BEFORE)]
