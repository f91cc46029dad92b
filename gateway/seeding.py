"""What a new installation starts with: the local models in the catalog, and, at home, people to sign in as."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.keys import find_key, new_secret, store_key
from accounts.models import Account, User
from accounts.signup import open_personal_account
from billing.plan_in_force import plan_version_of
from billing.seeding import seed_billing, subscribe
from gateway.dialects import CHAT, COMPLETION, EMBEDDING
from gateway.local_model.models import CHAT_CONTEXT, CHAT_MODEL, EMBEDDING_CONTEXT, EMBEDDING_MODEL
from gateway.models import CatalogModel, Dialect, Serving, Upstream
from gateway.sync.apply import apply
from gateway.sync.document import read_file

DEMO_PEOPLE = {"free": "bob@demo.turnpike.example", "pro": "alice@demo.turnpike.example"}
DEMO_PEOPLE |= {"enterprise": "erin@demo.turnpike.example"}
ADMIN = "admin@demo.turnpike.example"

# What Hugging Face's providers serve, as of a day; `manage.py sync_catalog` takes its place.
SNAPSHOT = Path(__file__).parent / "data" / "snapshot-2026-11-23.json"


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo accounts of an installation at home. Kept in var/demo.json, so that keys stay the same."""

    password: str
    keys: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return the form that `manage.py seed --json` prints."""
        users = [
            {"email": email, "password": self.password, "plan": plan} for plan, email in DEMO_PEOPLE.items()
        ]
        keys = {f"{plan}_key": key for plan, key in self.keys.items()}
        return keys | {"admin_user": ADMIN, "admin_password": self.password, "users": users}


@transaction.atomic
def seed_catalog() -> None:
    """Write plans, prices, the two upstreams and the models that ship. Doing it again adds only what is new.

    The snapshot is for machines that know nothing better: it never replaces what was synchronised since.
    """
    seed_billing()
    local = _upstream("local", "Local model", Dialect.LOCAL, 10)
    router = _upstream("hf-router", "Hugging Face router", Dialect.HF_ROUTER, 20)
    _list_model(CHAT_MODEL, local, [COMPLETION, CHAT], CHAT_CONTEXT)
    tasks = [EMBEDDING, "sentence-similarity", "zero-shot-classification"]
    _list_model(EMBEDDING_MODEL, local, tasks, EMBEDDING_CONTEXT)
    if not router.servings.exclude(provider="").exists():
        apply(read_file(SNAPSHOT))


def _upstream(slug: str, name: str, dialect: Dialect, position: int) -> Upstream:
    fields = {"name": name, "dialect": dialect, "position": position}
    return Upstream.objects.get_or_create(slug=slug, defaults=fields)[0]


@transaction.atomic
def seed_demo() -> Demo:
    """Write the demo people with their plans and keys, and return their secrets. Only at home."""
    demo = _remembered_demo()
    for plan, email in DEMO_PEOPLE.items():
        account = open_personal_account(_person(email, demo.password))
        if plan_version_of(account, timezone.now())[0].plan.slug != plan:
            subscribe(account, plan)
        if find_key(demo.keys[plan]) is None:
            store_key(account, "Demo key", demo.keys[plan])
    _person(ADMIN, demo.password, is_staff=True, is_superuser=True)
    return demo


def _list_model(model_id: str, upstream: Upstream, tasks: list[str], context_length: int | None) -> None:
    fields = {"tasks": tasks, "context_length": context_length}
    model, _ = CatalogModel.objects.get_or_create(model_id=model_id, defaults=fields)
    Serving.objects.get_or_create(model=model, upstream=upstream, provider="", task="")


def _person(email: str, password: str, **fields: bool) -> User:
    user = User.objects.filter(email=email).first() or User.objects.create_user(email, password, **fields)
    EmailAddress.objects.get_or_create(user=user, email=email, defaults={"verified": True, "primary": True})
    return user


def _remembered_demo() -> Demo:
    """Read var/demo.json, or write it with new secrets, readable to its owner only."""
    path: Path = settings.VAR_DIR / "demo.json"
    if not path.exists():
        demo = {"password": secrets.token_urlsafe(12), "keys": {plan: new_secret() for plan in DEMO_PEOPLE}}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(demo))
    return Demo(**json.loads(path.read_text()))


def demo_account(plan: str) -> Account:
    """Return a demo account by its plan. Account.DoesNotExist before `seed_demo`."""
    return Account.objects.get(users__email=DEMO_PEOPLE[plan])
