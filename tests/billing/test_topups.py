"""Top-ups: what is paid is credited once; automatic ones stay within the customer's cap."""

import pytest
from django.test import Client

from billing import topups
from billing.credit_balances import prepaid_nano
from billing.models import AutoTopUp, CreditGrant, TopUp
from billing.money import NANO
from billing.payments import ManualProvider, PaymentError, ProviderAway
from billing.payments.provider import ChargeReceipt, ChargeState
from billing.payments.signals import top_up_paid
from tests.browsing import sign_in, text_of
from tests.factories import Person

PAID = ChargeReceipt("in_1", ChargeState.PAID, "pi_1")


class Till(ManualProvider):
    """A provider that collects: it remembers what it was asked, and answers as it is told."""

    collects = True

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []
        self.answer: ChargeReceipt | Exception = PAID

    def top_up_page(
        self, account: object, amount_minor: int, *, key: str, description: str, back_url: str
    ) -> str:
        """Remember and name a page."""
        self.asked.append((amount_minor, key))
        return "/page"

    def charge(self, account: object, amount_minor: int, *, key: str, description: str) -> ChargeReceipt:
        """Remember and answer."""
        self.asked.append((amount_minor, key))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def till(monkeypatch: pytest.MonkeyPatch) -> Till:
    """The installation has a provider that collects."""
    till = Till()
    monkeypatch.setattr("billing.topups.payment_provider", lambda: till)
    monkeypatch.setattr("billing.views.credit.payment_provider", lambda: till)
    return till


def _wishes(person: Person, *, threshold: int = 200, amount: int = 500, cap: int = 1200) -> AutoTopUp:
    return AutoTopUp.objects.create(
        account=person.account,
        enabled=True,
        threshold_minor=threshold,
        amount_minor=amount,
        monthly_cap_minor=cap,
    )


def test_bob_buys_five_dollars_and_has_them_when_they_are_paid(till: Till, bob: Person) -> None:
    answer = sign_in(bob).post("/billing/credit/top-up/", {"amount": "5.00"})
    assert answer["Location"] == "/page"
    (bought,) = TopUp.objects.all()
    assert till.asked == [(500, bought.key)]
    assert prepaid_nano(bob.account) == 0
    for _ in range(2):  # at least once, says the protocol
        top_up_paid.send(sender=None, account=bob.account, key=bought.key, receipt=PAID)
    assert prepaid_nano(bob.account) == 5 * NANO
    assert CreditGrant.objects.get().reference == bought.key


def test_a_payment_of_somebody_else_is_not_bobs(till: Till, alice: Person, bob: Person) -> None:
    topups.start_top_up(alice.account, 500, "/")
    bought = TopUp.objects.get()
    with pytest.raises(TopUp.DoesNotExist):
        top_up_paid.send(sender=None, account=bob.account, key=bought.key, receipt=PAID)
    assert not CreditGrant.objects.exists()


def test_little_left_buys_more_up_to_the_cap(till: Till, bob: Person) -> None:
    """5.00 twice are within 12.00, a third time is not, although less than 20.00 are left."""
    _wishes(bob, threshold=2000)
    assert [topups.top_up_due_accounts() for _ in range(4)] == [1, 1, 0, 0]
    assert prepaid_nano(bob.account) == 10 * NANO


def test_enough_left_buys_nothing(till: Till, bob: Person) -> None:
    _wishes(bob)
    topups.top_up_due_accounts()
    assert topups.top_up_due_accounts() == 0
    assert len(till.asked) == 1


def test_off_buys_nothing(till: Till, bob: Person) -> None:
    AutoTopUp.objects.create(account=bob.account)
    assert topups.top_up_due_accounts() == 0
    assert till.asked == []


def test_a_card_that_declines_is_not_tried_every_minute(till: Till, bob: Person) -> None:
    till.answer = PaymentError("The card was declined.")
    _wishes(bob)
    assert topups.top_up_due_accounts() == topups.top_up_due_accounts() == 0
    assert len(till.asked) == 1
    assert "The card was declined." in text_of(sign_in(bob).get("/billing/credit/"))


@pytest.mark.parametrize("first", [ProviderAway("no answer"), ChargeReceipt("in_1", ChargeState.PENDING)])
def test_an_answer_that_was_lost_is_asked_for_again_by_the_same_key(
    till: Till, bob: Person, first: ChargeReceipt | Exception
) -> None:
    _wishes(bob)
    till.answer = first
    assert topups.top_up_due_accounts() == 0
    till.answer = PAID
    assert topups.top_up_due_accounts() == 1
    assert len({key for _, key in till.asked}) == 1
    assert prepaid_nano(bob.account) == 5 * NANO


def test_without_a_provider_bob_is_told_how_to_pay(bob: Person) -> None:
    page = text_of(sign_in(bob).post("/billing/credit/top-up/", {"amount": "5"}, follow=True))
    assert "This installation has no payment provider" in page
    assert not TopUp.objects.exists()


@pytest.mark.parametrize(
    ("amount", "words"),
    [("0", "Write an amount above zero"), ("1.005", "at most 2 digits"), ("", "Write an amount.")],
)
def test_an_amount_that_cannot_be_is_refused(till: Till, bob: Person, amount: str, words: str) -> None:
    assert words in text_of(sign_in(bob).post("/billing/credit/top-up/", {"amount": amount}))


@pytest.mark.parametrize(
    ("amount", "cap", "words"), [("", "9", "how much to buy"), ("5", "4", "a cap that allows one purchase")]
)
def test_a_wish_that_could_buy_nothing_is_refused(
    till: Till, bob: Person, amount: str, cap: str, words: str
) -> None:
    form = {"enabled": "on", "threshold": "1", "amount": amount, "monthly_cap": cap}
    assert words in text_of(sign_in(bob).post("/billing/credit/automatic/", form))
    assert not AutoTopUp.objects.exists()


def test_bob_switches_it_on_and_off(till: Till, bob: Person) -> None:
    form = {"enabled": "on", "threshold": "1", "amount": "5", "monthly_cap": "20"}
    browser = sign_in(bob)
    assert "Automatic top-up is on." in text_of(browser.post("/billing/credit/automatic/", form, follow=True))
    assert "Automatic top-up is off." in text_of(browser.post("/billing/credit/automatic/", {}, follow=True))
    assert not AutoTopUp.objects.get().enabled


def test_nobody_sees_the_credit_without_a_sign_in(db: None) -> None:
    assert Client().get("/billing/credit/").status_code == 302
