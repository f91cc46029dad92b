"""The screens of members: adding, roles, leaving, switching. An account always keeps an owner."""

import threading

import pytest
from django.db import connection

from accounts.members import MemberChangeRefusedError, remove_member
from accounts.models import Account, Membership, Role
from accounts.signup import open_organization
from billing.seeding import seed_billing
from tests.browsing import join, sign_in, text_of
from tests.factories import Person, make_person


def role_of(person: Person, account: Account) -> str | None:
    """The person's role in an account; None if they are not in it."""
    return Membership.objects.filter(user=person.user, account=account).values_list("role", flat=True).first()


def test_alice_adds_dave_and_he_finds_her_account_in_his_switcher(alice: Person, dave: Person) -> None:
    answer = sign_in(alice).post(
        "/team/add/", {"email": "DAVE@example.com", "role": "developer"}, follow=True
    )
    assert "dave@example.com is now in Alice" in text_of(answer)
    assert role_of(dave, alice.account) == Role.DEVELOPER
    client = sign_in(dave)
    assert f"/switch/{alice.account.pk}/" in client.get("/usage/").content.decode()
    client.post(f"/switch/{alice.account.pk}/")
    assert alice.key.masked in client.get("/keys/").content.decode()


@pytest.mark.parametrize(
    ("email", "says"),
    [
        ("nobody@example.com", "Nobody has signed up with nobody@example.com"),
        ("charlie@example.com", "is in this account already"),
        ("charlie", "This is no e-mail address"),
        ("", "Enter the e-mail address"),
    ],
)
def test_a_wrong_address_adds_nobody_and_says_why(
    alice: Person, charlie: Person, email: str, says: str
) -> None:
    answer = sign_in(alice).post("/team/add/", {"email": email, "role": "viewer"})
    assert says in text_of(answer)
    assert Membership.objects.filter(account=alice.account).count() == 2


def test_charlie_the_viewer_changes_nobody(alice: Person, charlie: Person, dave: Person) -> None:
    client = sign_in(charlie, alice.account)
    owner = Membership.objects.get(user=alice.user, account=alice.account)
    assert client.post("/team/add/", {"email": "dave@example.com", "role": "owner"}).status_code == 403
    assert client.post(f"/team/{owner.pk}/role/", {"role": "viewer"}).status_code == 403
    assert client.post(f"/team/{owner.pk}/remove/").status_code == 403
    assert role_of(alice, alice.account) == Role.OWNER
    assert role_of(dave, alice.account) is None


def test_alice_gives_charlie_another_role(alice: Person, charlie: Person) -> None:
    member = Membership.objects.get(user=charlie.user, account=alice.account)
    sign_in(alice).post(f"/team/{member.pk}/role/", {"role": "billing"})
    assert role_of(charlie, alice.account) == Role.BILLING


def test_an_admin_cannot_make_or_unmake_owners(alice: Person, charlie: Person, dave: Person) -> None:
    join(dave, alice.account, Role.ADMIN)
    join(make_person("Erin"), alice.account, Role.OWNER)  # so that Alice is not the last owner
    client = sign_in(dave, alice.account)
    owner = Membership.objects.get(user=alice.user, account=alice.account)
    viewer = Membership.objects.get(user=charlie.user, account=alice.account)
    promoted = client.post(f"/team/{viewer.pk}/role/", {"role": "owner"}, follow=True)
    assert "Choose a role from the list" in text_of(promoted)
    demoted = client.post(f"/team/{owner.pk}/role/", {"role": "viewer"}, follow=True)
    assert "Only an owner can make, change or remove an owner" in text_of(demoted)
    removed = client.post(f"/team/{owner.pk}/remove/", follow=True)
    assert "Only an owner can make, change or remove an owner" in text_of(removed)
    assert role_of(charlie, alice.account) == Role.VIEWER
    assert role_of(alice, alice.account) == Role.OWNER


def test_the_last_owner_cannot_leave_before_somebody_else_is_owner(alice: Person, charlie: Person) -> None:
    client = sign_in(alice)
    own = Membership.objects.get(user=alice.user, account=alice.account)
    refused = client.post(f"/team/{own.pk}/remove/", follow=True)
    assert "An account needs an owner" in text_of(refused)
    assert "An account needs an owner" in text_of(
        client.post(f"/team/{own.pk}/role/", {"role": "viewer"}, follow=True)
    )
    other = Membership.objects.get(user=charlie.user, account=alice.account)
    client.post(f"/team/{other.pk}/role/", {"role": "owner"})
    client.post(f"/team/{own.pk}/remove/")
    assert role_of(alice, alice.account) is None
    assert role_of(charlie, alice.account) == Role.OWNER


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_leave_at_the_same_moment_one_stays() -> None:
    seed_billing()
    erin, frank = make_person("Erin"), make_person("Frank")
    account = open_organization(erin.user, "Bakery")
    members = [Membership.objects.get(account=account), join(frank, account, Role.OWNER)]
    start, refusals = threading.Barrier(2), []

    def leave(member: Membership) -> None:
        start.wait(timeout=10)
        try:
            remove_member(member, member)
        except MemberChangeRefusedError as refusal:
            refusals.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=[member]) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(refusals) == 1
    assert Membership.objects.filter(account=account, role=Role.OWNER).count() == 1


def test_charlie_may_leave_and_then_sees_nothing_of_alices(alice: Person, charlie: Person) -> None:
    client = sign_in(charlie, alice.account)
    own = Membership.objects.get(user=charlie.user, account=alice.account)
    assert "Leave Alice?" in text_of(client.get(f"/team/{own.pk}/remove/"))
    client.post(f"/team/{own.pk}/remove/")
    assert role_of(charlie, alice.account) is None
    assert alice.key.masked not in client.get("/keys/").content.decode()


def test_dave_cannot_switch_to_an_account_or_touch_members_that_are_not_his(
    alice: Person, charlie: Person, dave: Person
) -> None:
    client = sign_in(dave)
    member = Membership.objects.get(user=charlie.user, account=alice.account)
    assert client.post(f"/switch/{alice.account.pk}/").status_code == 404
    assert client.post(f"/team/{member.pk}/role/", {"role": "admin"}).status_code == 404
    assert client.post(f"/team/{member.pk}/remove/").status_code == 404
    assert "charlie@example.com" not in client.get("/team/").content.decode()
    # A session that was forged or is stale falls back to the person's own account.
    assert alice.key.masked not in sign_in(dave, alice.account).get("/keys/").content.decode()


def test_an_account_is_not_switched_by_a_link(alice: Person, charlie: Person) -> None:
    assert sign_in(charlie).get(f"/switch/{alice.account.pk}/").status_code == 405


def test_dave_opens_an_organization_and_works_in_it_at_once(dave: Person) -> None:
    client = sign_in(dave)
    answer = client.post("/organizations/new/", {"name": "Dave's Bakery"}, follow=True)
    account = Account.objects.get(name="Dave's Bakery")
    assert "Who works in Dave's Bakery" in text_of(answer)
    assert role_of(dave, account) == Role.OWNER
    assert not account.is_personal
    assert "Give the organization a name" in text_of(client.post("/organizations/new/", {"name": " "}))
