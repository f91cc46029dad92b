"""Money that a provider collects by itself: subscribing at Stripe, and following what happens there.

| file | what it does |
|---|---|
| `plans.py` | plans and prices at Stripe: `manage.py sync_plans` |
| `subscribing.py` | the customer subscribes, changes, cancels, resumes |
| `following.py` | what Stripe says of subscriptions and Checkout pages, into our stays |
| `disputes.py` | chargebacks: alarm, and booked when lost |
| `inbox.py` | webhooks: kept once, worked on later |
"""
