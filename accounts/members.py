"""Changing who is in an account. An account always keeps an owner; only owners make or unmake owners."""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Account, Membership, Role, User


class MemberChangeRefusedError(Exception):
    """The change would break a rule; the message says which, in words for the screen."""


def add_member(acting: Membership, user: User, role: str) -> Membership:
    """Write a membership and return it; return the existing one unchanged if there is one."""
    _check_owner_rule(acting, role)
    return Membership.objects.get_or_create(account=acting.account, user=user, defaults={"role": role})[0]


@transaction.atomic
def change_role(acting: Membership, member: Membership, role: str) -> Membership:
    """Write a member's new role and return the member. MemberChangeRefusedError if a rule forbids it."""
    member = _locked(member)
    _check_owner_rule(acting, member.role, role)
    if role != Role.OWNER:
        _check_an_owner_stays(member)
    member.role = role
    member.save(update_fields=["role"])
    return member


@transaction.atomic
def remove_member(acting: Membership, member: Membership) -> None:
    """Delete a membership; anybody may remove themselves. MemberChangeRefusedError if a rule forbids it."""
    member = _locked(member)
    if member.pk != acting.pk:
        _check_owner_rule(acting, member.role)
    _check_an_owner_stays(member)
    member.delete()


def _locked(member: Membership) -> Membership:
    """Lock the account first, so that two owners cannot leave at the same moment, then read the member anew."""
    Account.objects.select_for_update().get(pk=member.account_id)
    return Membership.objects.get(pk=member.pk)


def _check_owner_rule(acting: Membership, *roles: str) -> None:
    if Role.OWNER in roles and acting.role != Role.OWNER:
        raise MemberChangeRefusedError(
            _("Only an owner can make, change or remove an owner. Ask one of them.")
        )


def _check_an_owner_stays(member: Membership) -> None:
    others = Membership.objects.filter(account=member.account_id, role=Role.OWNER).exclude(pk=member.pk)
    if member.role == Role.OWNER and not others.exists():
        raise MemberChangeRefusedError(_("An account needs an owner. Make somebody else an owner first."))
