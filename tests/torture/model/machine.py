"""The state machine of quota_model: what can happen to an account's calls, and what must hold after each step."""

from tests.torture.model.befalls import Befalls
from tests.torture.model.calls import Calls
from tests.torture.model.keying import Keying
from tests.torture.model.quoting import Quoting


class QuotaMachine(Calls, Quoting, Keying, Befalls):
    """All that can happen to an account."""
