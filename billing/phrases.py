"""Words that live in data, named here so that `makemessages` finds them. A test compares the two."""

from django.utils.translation import gettext_noop

# The `features` of `data/plans.json`, which the price list shows translated.
PLAN_FEATURES = (
    gettext_noop("Small models"),
    gettext_noop("Calls stop at the limit: no surprise on an invoice"),
    gettext_noop("All serverless models"),
    gettext_noop("Pay as you go past the included calls, up to your budget"),
    gettext_noop("More data per call"),
    gettext_noop("All models and dedicated endpoints"),
    gettext_noop("Your own price book"),
    gettext_noop("Dedicated support"),
    gettext_noop("Single sign-on"),
    gettext_noop("IP allow-lists"),
    gettext_noop("Audit export"),
    gettext_noop("Invoice by e-mail"),
)
