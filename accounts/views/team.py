"""The screens of members: who is in the account, with which role; organizations and switching between them."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.decorators import MemberRequest, forbidden, member_required
from accounts.forms import MemberForm, OrganizationForm, RoleForm, roles_given_by
from accounts.members import MemberChangeRefusedError, add_member, change_role, remove_member
from accounts.middleware import SESSION_KEY
from accounts.models import Account, Membership, Role, User
from accounts.permissions import MAY, may
from accounts.signup import open_organization

# The columns of the table of rights, in the order of the screen.
RIGHTS: dict[str, str | Promise] = {
    "see_usage": gettext_lazy("See usage and keys"),
    "manage_keys": gettext_lazy("Create and revoke keys"),
    "manage_webhooks": gettext_lazy("Set up webhooks"),
    "see_billing": gettext_lazy("See billing"),
    "manage_budgets": gettext_lazy("Set budgets"),
    "manage_billing": gettext_lazy("Change the plan"),
    "manage_members": gettext_lazy("Change members"),
    "manage_account": gettext_lazy("Change account settings"),
}


@require_GET
@member_required()
def team(request: MemberRequest) -> HttpResponse:
    """The members of the account, oldest first, with the form to add one for those who may."""
    return _team_page(request, MemberForm(request.membership))


@require_POST
@member_required("manage_members")
def member_add(request: MemberRequest) -> HttpResponse:
    """Add an existing user by e-mail address."""
    form = MemberForm(request.membership, request.POST)
    if not form.is_valid():
        return _team_page(request, form)
    assert form.found is not None
    member = add_member(request.membership, form.found, form.cleaned_data["role"])
    messages.success(
        request,
        _("%(person)s is now in %(account)s.")
        % {"person": member.user.email, "account": member.account.name},
    )
    return redirect("team")


@require_POST
@member_required("manage_members")
def member_role(request: MemberRequest, member_id: uuid.UUID) -> HttpResponse:
    """Give a member another role. 404 for a member of another account."""
    member = get_object_or_404(Membership, pk=member_id, account=request.membership.account)
    form = RoleForm(request.membership, request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose a role from the list. Only an owner makes owners."))
        return redirect("team")
    try:
        change_role(request.membership, member, form.cleaned_data["role"])
    except MemberChangeRefusedError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("%(person)s has a new role.") % {"person": member.user.email})
    return redirect("team")


@require_http_methods(["GET", "POST"])
@member_required()
def member_remove(request: MemberRequest, member_id: uuid.UUID) -> HttpResponse:
    """Remove a member, after a page that asks; anybody may leave. 404 for a member of another account."""
    member = get_object_or_404(
        Membership.objects.select_related("user"), pk=member_id, account=request.membership.account
    )
    leaving = member.pk == request.membership.pk
    if not leaving and not may(request.membership.role, "manage_members"):
        return forbidden(request, request.membership.account, "manage_members")
    if request.method == "GET":
        return render(request, "accounts/member_remove.html", {"member": member, "leaving": leaving})
    try:
        remove_member(request.membership, member)
    except MemberChangeRefusedError as refusal:
        messages.error(request, str(refusal))
        return redirect("team")
    messages.success(
        request,
        _("%(person)s is no longer in %(account)s.")
        % {"person": member.user.email, "account": request.membership.account.name},
    )
    return redirect("get-started" if leaving else "team")


@login_required
@require_http_methods(["GET", "POST"])
def organization_create(request: HttpRequest) -> HttpResponse:
    """Open an organization owned by the person and switch to it. Anybody who is signed in may."""
    form = OrganizationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        account = open_organization(request.user, **form.cleaned_data)
        request.session[SESSION_KEY] = str(account.pk)
        messages.success(request, _("%(account)s is open. Add its members here.") % {"account": account.name})
        return redirect("team")
    return render(request, "accounts/organization_create.html", {"form": form})


@login_required
@require_POST
def account_switch(request: HttpRequest, account_id: uuid.UUID) -> HttpResponse:
    """Work in another of the person's accounts from now on. 404 for an account they are not a member of."""
    account = get_object_or_404(Account, pk=account_id, memberships__user=request.user)
    request.session[SESSION_KEY] = str(account.pk)
    messages.success(request, _("You now work in %(account)s.") % {"account": account.name})
    return redirect("usage")


def _team_page(request: MemberRequest, form: MemberForm) -> HttpResponse:
    account = request.membership.account
    context = {
        "members": Membership.objects.filter(account=account).select_related("user"),
        "may_manage": may(request.membership.role, "manage_members"),
        "roles": roles_given_by(request.membership),
        "form": form,
        "rights": RIGHTS.values(),
        "rights_by_role": [(Role(role).label, [action in MAY[role] for action in RIGHTS]) for role in MAY],
    }
    return render(request, "accounts/team.html", context)
