"""The first pages: the landing page, "make your first call", and, at home, the mail viewer and the style guide."""

import time
from dataclasses import dataclass
from email.utils import parseaddr

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.currencies import currency_for
from accounts.decorators import MemberRequest, forbidden, member_required, who_may
from accounts.keys import issue_key
from accounts.models import Account, ApiKey
from accounts.once import first_time, new_token
from accounts.permissions import may
from billing.call_log import Call, latest_calls
from billing.models import PlanVersion
from gateway.mail_viewer import stored_mails
from gateway.snippets import first_call, first_model
from gateway.templatetags.samples import samples

# How long an open page keeps asking whether the first call has come.
WAITING_SECONDS = 15 * 60


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The landing page, with the plans in force and a call that works with a key."""
    context = {
        "plans": PlanVersion.objects.current(currency=currency_for(get_language())),
        "base_url": settings.SITE_URL,
        "model": first_model(),
        "contact": parseaddr(settings.DEFAULT_FROM_EMAIL)[1],
    }
    return render(request, "home.html", context)


@dataclass(frozen=True)
class Waiting:
    """Where the page looks for news: a call newer than `after`, until `until` (Unix seconds)."""

    after: str
    until: int

    @property
    def query(self) -> str:
        """As the address of the result carries it."""
        return urlencode([("after", self.after), ("until", self.until)])


@never_cache  # sends no-store: the answer to a POST carries the new key's secret
@require_http_methods(["GET", "POST"])
@member_required("see_usage")
def get_started(request: MemberRequest) -> HttpResponse:
    """Three steps: create a key (its secret is shown once, here), send a request, see the result."""
    account, secret = request.membership.account, ""
    may_manage = may(request.membership.role, "manage_keys")
    if request.method == "POST":
        if not may_manage:
            return forbidden(request, account, "manage_keys")
        if not first_time(request):
            messages.info(request, _("That key was made already. Its secret cannot be shown again."))
            return redirect("get-started")
        secret = issue_key(account, _("First key"), created_by=request.user)[1]
    model, newest = first_model(), _newest(account)
    context = {
        "secret": secret,
        "key": ApiKey.objects.usable().filter(account=account).first(),
        "once": new_token(),
        "may_manage": may_manage,
        "helpers": [] if may_manage else who_may(account, "manage_keys"),
        "model": model,
        "base_url": settings.SITE_URL,
        "snippets": first_call(model, secret),
        "call": None if secret else newest,
        "waiting": _wait_for_more_than(newest),
    }
    return render(request, "start/get_started.html", context)


@never_cache
@require_GET
@member_required("see_usage")
def get_started_result(request: MemberRequest) -> HttpResponse:
    """Answer the waiting page: 204 while there is nothing new, else 200 with the HTML that takes its place."""
    newest = _newest(request.membership.account)
    if newest and str(newest.event.request_id) != request.GET.get("after"):
        return render(request, "start/result.html", {"call": newest, "waiting": _wait_for_more_than(newest)})
    if time.time() > _seconds(request.GET.get("until", "")):
        return render(request, "start/stopped.html")
    return HttpResponse(status=204)


@require_GET
def local_mail(request: HttpRequest) -> HttpResponse:
    """The mails that this installation wrote into files, newest first. 404 where mail is really sent."""
    if not settings.LOCAL:
        raise Http404
    return render(request, "local_mail.html", {"mails": stored_mails(), "folder": settings.VAR_DIR / "mail"})


@require_GET
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component in every state. 404 but at home."""
    if not settings.LOCAL:
        raise Http404
    return render(request, "styleguide.html", {"samples": samples()})


def _newest(account: Account) -> Call | None:
    return next(iter(latest_calls(account, 1)), None)


def _wait_for_more_than(newest: Call | None) -> Waiting:
    after = str(newest.event.request_id) if newest else ""
    return Waiting(after, int(time.time()) + WAITING_SECONDS)


def _seconds(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
