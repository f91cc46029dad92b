"""Celery: the settings with their reasons, and the whole beat schedule in one list.

The broker may lose a message (kombu pops, then stores: two steps), and may deliver one twice. So rows in
Postgres and entries in the meter's stream are the work; a message is a hint, and a tick re-drives what is
due. No task result is kept.
"""

import os

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings.base")

app = Celery("turnpike")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_ignore_result=True,
    accept_content=["json"],
    # A task that its worker did not finish comes back: everything here is safe to run twice.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_soft_time_limit=240,
    task_time_limit=300,
    worker_max_tasks_per_child=1000,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_soft_shutdown_timeout=5,
    broker_connection_retry_on_startup=True,
    # visibility_timeout must exceed the longest task, or a running one is delivered again.
    broker_transport_options={
        "visibility_timeout": 900,
        "socket_timeout": 15,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
    task_publish_retry_policy={"max_retries": 2, "interval_max": 0.2},
    worker_hijack_root_logger=False,
    timezone="UTC",
)
app.autodiscover_tasks()

# Name, seconds between ticks. `expires` keeps ticks from piling up while no worker runs.
_TICKS: list[tuple[str, float]] = [
    ("gateway.tasks.drain_usage", 1.0),
    ("gateway.tasks.sweep_holds", 2.0),
    ("billing.tasks.roll_up_usage", 1.0),
    ("billing.tasks.check_alerts", 1.0),
    ("accounts.tasks.send_mails", 2.0),
    ("accounts.tasks.deliver_webhooks", 1.0),
    ("accounts.tasks.forget_old_webhooks", 3600.0),
    ("billing.tasks.close_due_periods", 300.0),
    ("billing.tasks.issue_frozen_statements", 300.0),
    ("billing.tasks.work_on_webhooks", 30.0),
    ("billing.tasks.follow_stripe", 300.0),
    ("billing.tasks.review_dunning", 300.0),
    ("billing.tasks.catch_up_webhooks", 3600.0),
    ("billing.tasks.ensure_partitions", 3600.0),
    ("billing.tasks.convert_prices", 3600.0),
    ("billing.tasks.send_credit_notes", 60.0),
    ("billing.tasks.top_up", 60.0),
    ("billing.tasks.expire_credits", 3600.0),
]
app.conf.beat_schedule = {
    name: {"task": name, "schedule": seconds, "options": {"expires": max(seconds, 1.0)}}
    for name, seconds in _TICKS
}
# Once a night, off the hour, when everybody else's nightly jobs start. A missed night is made up by the next.
app.conf.beat_schedule["gateway.tasks.sync_catalog"] = {
    "task": "gateway.tasks.sync_catalog",
    "schedule": crontab(hour="3", minute="17"),
    "options": {"expires": 3600},
}
app.conf.beat_schedule["gateway.tasks.reconcile"] = {
    "task": "gateway.tasks.reconcile",
    "schedule": crontab(hour="4", minute="11"),
    "options": {"expires": 3600},
}
