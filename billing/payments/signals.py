"""News of the provider that another part of billing turns into rows of its own."""

from django.dispatch import Signal

# A top-up page was paid. Sent at least once for each key, outside of a transaction, with
# account: Account, key: str, receipt: ChargeReceipt. What a receiver raises, the tick tries again.
top_up_paid = Signal()
