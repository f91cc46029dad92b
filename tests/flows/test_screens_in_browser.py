"""Every screen in a real browser: wide and 390 px, light and dark, English and Korean; and keys without a mouse."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import Role, User, WebhookEndpoint
from accounts.webhooks.endpoints import add_endpoint, ping
from accounts.webhooks.events import EVENTS
from billing import alerts, budget_window
from billing.budgets import set_budget
from billing.credit_notes import credit_statement
from billing.credits import grant_credit
from billing.invoicing import close_period
from billing.models import Budget, CreditNote, CreditSource, Statement
from billing.payments import payment_provider
from billing.period import BillingPeriod
from tests.browsing import join
from tests.factories import PASSWORD, Person, make_failure, make_report, record_calls
from tests.flows.conftest import Window
from tests.live import Web

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
OpenWindow = Callable[..., Window]

SCREENS = [
    "/",
    "/start/",
    "/keys/",
    "/keys/new/",
    "/keys/{key}/",
    "/keys/{key}/revoke/",
    "/usage/",
    "/usage/?range=30d&group=key&metric=cost",
    "/usage/?range=custom&from=2026-11-02&to=2026-11-01",
    "/billing/",
    "/billing/details/",
    "/billing/credit/",
    "/billing/budgets/",
    "/billing/budgets/new/",
    "/billing/budgets/{budget}/",
    "/usage/limits/",
    "/usage/quotes/",
    "/billing/plan/free/",
    "/billing/statements/",
    "/billing/statements/{statement}/",
    "/team/",
    "/organizations/new/",
    "/settings/",
    "/settings/account/",
    "/settings/webhooks/",
    "/settings/webhooks/new/",
    "/settings/webhooks/{endpoint}/",
    "/settings/webhooks/{endpoint}/rotate/",
    "/settings/webhooks/messages/{message}/",
    "/mail/",
    "/models/",
    "/models/?q=llama&provider=groq&sort=-input",
    "/models/meta-llama/Llama-3.1-8B-Instruct/",
]


@pytest.fixture
def heidi(person: Callable[..., Person]) -> Person:
    """Heidi is on Pro, has made some calls, has a team and a statement."""
    heidi = person("Heidi", "pro")
    # Tests hash with MD5 for speed; the web process under test does not know it.
    User.objects.filter(pk=heidi.user.pk).update(
        password=PBKDF2PasswordHasher().encode(PASSWORD, "salt-of-heidi")
    )
    EmailAddress.objects.create(user=heidi.user, email=heidi.user.email, verified=True, primary=True)
    join(person("Ivan"), heidi.account, Role.VIEWER)
    now = timezone.now()
    calls = [make_report(heidi, now - timedelta(hours=n), model=f"org/model-{n % 7}") for n in range(30)]
    record_calls(*calls, make_failure(heidi))
    ping(add_endpoint(heidi.account, "http://127.0.0.1:9/hook", list(EVENTS))[0])
    set_budget(heidi.account, budget_window.Window.MONTH, 25_000_000_000)
    set_budget(heidi.account, budget_window.Window.DAY, 10, key=heidi.key, hard_stop=False)
    alerts.check(heidi.account.pk)
    statement = close_period(heidi.account, BillingPeriod.containing(now), until=now)
    assert statement is not None
    payment_provider().issue(statement)
    for source in (CreditSource.PREPAID, CreditSource.PROMOTIONAL):
        grant_credit(
            heidi.account, source, 5_000_000_000, reference=f"{source}:{heidi.account.pk}", note="Welcome"
        )
    plan = statement.lines.get(kind="plan").pk
    credit_statement(
        statement, {plan: 400}, reason=CreditNote.Reason.SERVICE, reference=f"note:{heidi.account.pk}"
    )
    return heidi


@pytest.fixture
def screens(heidi: Person) -> list[str]:
    """The addresses, with Heidi's own ids."""
    endpoint = WebhookEndpoint.objects.get(account=heidi.account)
    ids = {
        "key": heidi.key.pk,
        "statement": Statement.objects.get(account=heidi.account).pk,
        "budget": Budget.objects.in_force().filter(account=heidi.account).latest("created_at").pk,
        "endpoint": endpoint.pk,
        "message": endpoint.deliveries.latest("created_at").pk,
    }
    return [screen.format(**ids) for screen in SCREENS]


def sign_in(window: Window, person: Person) -> None:
    """Through the form, as people do."""
    window.open("/accounts/login/")
    form = window.page.locator("main form").first
    form.locator("[name=login]").fill(person.user.email)
    form.locator("[name=password]").fill(PASSWORD)
    form.locator("[name=password]").press("Enter")
    window.page.wait_for_url("**/start/")


@pytest.mark.parametrize(
    ("width", "theme", "language"),
    [(1280, "light", "en"), (1280, "dark", "ko"), (390, "dark", "en"), (390, "light", "ko")],
)
def test_every_screen_fits_and_nothing_complains(
    web: Web,
    heidi: Person,
    screens: list[str],
    open_window: OpenWindow,
    width: int,
    theme: str,
    language: str,
) -> None:
    window = open_window(web.url, width=width, theme=theme, language=language)
    sign_in(window, heidi)
    for screen in screens:
        window.open(screen)
        page = window.page
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            f"{screen} scrolls sideways"
        )
        assert page.locator("h1").count() == 1, screen
        assert page.locator("html").get_attribute("lang") == language
        assert (
            page.evaluate("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size")
            == page.locator("[id]").count()
        ), f"{screen} has an id twice"
    assert window.complaints == []


def test_heidi_creates_copies_and_revokes_a_key_with_the_keyboard_alone(
    web: Web, heidi: Person, open_window: OpenWindow
) -> None:
    window = open_window(web.url)
    sign_in(window, heidi)
    page = window.page

    def reach(name: str) -> None:
        """Press Tab until the control with this name has the focus."""
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "(e => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText)(document.activeElement)"
            )
            if (focused or "").strip() == name:
                return
        pytest.fail(f"Tab does not reach “{name}”")

    window.open("/keys/")
    reach("Create key")
    page.keyboard.press("Enter")
    page.wait_for_url("**/keys/new/")
    reach("Name")
    page.keyboard.type("Night shift")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Copy your key now")).to_be_visible()
    reach("Copy")
    page.keyboard.press("Enter")
    expect(page.locator("[data-announce]")).to_have_text("Copied")
    reach("Back to your keys")
    page.keyboard.press("Enter")
    page.wait_for_url("**/keys/")
    reach("Revoke “Night shift”")
    page.keyboard.press("Enter")
    page.wait_for_url("**/revoke/")
    reach("Type the name of the key to confirm")
    page.keyboard.type("Night shift")
    page.keyboard.press("Enter")
    expect(page.get_by_text("“Night shift” is revoked.")).to_be_visible()
    assert window.complaints == []
