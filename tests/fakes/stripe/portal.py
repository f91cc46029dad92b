"""The customer portal: its sessions and configurations. What is on the page is in `pages.py`."""

from typing import Any

from tests.fakes.stripe.errors import Refusal
from tests.fakes.stripe.rendering import listing
from tests.fakes.stripe.world import Object, World, apply


def create(world: World, params: Object) -> Object:
    """POST /v1/billing_portal/sessions."""
    customer = world.get("customer", params.get("customer", ""), "customer")
    flow = params.get("flow_data")
    made = world.new(
        "billing_portal.session", "bps", customer=customer["id"], return_url=params.get("return_url"),
        configuration=params.get("configuration") or _default(world)["id"], locale=params.get("locale"),
        flow=flow and _flow(world, flow),
    )  # fmt: skip
    made["url"] = f"{world.settings.get('url', '')}/_fake/portal/{made['id']}"
    return made


def _flow(world: World, given: Object) -> Object:
    kind = given["type"]
    shown: Object = dict.fromkeys(
        ("subscription_cancel", "subscription_update", "subscription_update_confirm")
    )
    if kind in shown:
        wanted = given.get(kind, {}).get("subscription", "")
        world.get("subscription", wanted, f"flow_data[{kind}][subscription]")
        shown[kind] = {"subscription": wanted}
        if kind == "subscription_cancel":
            shown[kind]["retention"] = None
        if kind == "subscription_update_confirm":
            shown[kind] |= {"items": given[kind]["items"], "discounts": None}
    after = given.get("after_completion") or {"type": "portal_homepage"}
    redirect = after.get("redirect")
    shown["after_completion"] = {"type": after["type"], "redirect": redirect, "hosted_confirmation": None}
    return shown | {"type": kind}


def _default(world: World) -> Object:
    for found in world.every("billing_portal.configuration", is_default=True):
        return found
    return _new(world, {}, is_default=True)


def _new(world: World, params: Object, *, is_default: bool = False) -> Object:
    made = world.new(
        "billing_portal.configuration", "bpc", active=True, is_default=is_default, metadata={},
        business_profile={"headline": None, "privacy_policy_url": None, "terms_of_service_url": None},
        login_page={"enabled": False, "url": None},
    )  # fmt: skip
    made["updated"] = made["created"]
    _write(made, params)
    return made


def _write(made: Object, params: Object) -> None:
    apply(made, params, "active", "default_return_url", "name")
    made["business_profile"] |= params.get("business_profile", {})
    for name, given in params.get("features", {}).items():
        _lay(made["features"][name], given)


def _lay(old: Object, new: Any) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            _lay(old[key], value)
        else:
            old[key] = value


def create_configuration(world: World, params: Object) -> Object:
    """POST /v1/billing_portal/configurations."""
    _default(world)
    return _new(world, params)


def update_configuration(world: World, params: Object, configuration: str) -> Object:
    """POST /v1/billing_portal/configurations/{configuration}."""
    found = world.get("billing_portal.configuration", configuration)
    if found["is_default"] and params.get("active") is False:
        raise Refusal("The default configuration cannot be deactivated.", param="active")
    _write(found, params)
    found["updated"] = world.now()
    return found


def configuration(world: World, params: Object, configuration: str) -> Object:
    """GET /v1/billing_portal/configurations/{configuration}."""
    return world.get("billing_portal.configuration", configuration)


def configurations(world: World, params: Object) -> Object:
    """GET /v1/billing_portal/configurations."""
    where = {key: params[key] for key in ("active", "is_default") if key in params}
    found = world.every("billing_portal.configuration", **where)
    return listing(world, "/v1/billing_portal/configurations", found, params)
