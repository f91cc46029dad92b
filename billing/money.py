"""Money: integers in nano-units of a currency (1e-9), and the one rounding to what an invoice can say.

Hugging Face bills its own providers in integer nano-USD; micro-units would be too coarse, since
$0.15 per million tokens is 1.5e-7 a token. No float touches money: Decimal in, integers out.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

NANO = 1_000_000_000

# ISO 4217 exponents of the currencies that we invoice in.
MINOR_DIGITS = {"USD": 2, "EUR": 2, "GBP": 2, "JPY": 0, "KRW": 0}


def minor_digits(currency: str) -> int:
    """Return how many decimals an invoice in `currency` shows. ValueError if we do not invoice in it."""
    try:
        return MINOR_DIGITS[currency]
    except KeyError:
        raise ValueError(f"{currency} is not one of {', '.join(MINOR_DIGITS)}.") from None


def nano_per_minor(currency: str) -> int:
    """Return how many nano-units make one minor unit. ValueError if we do not invoice in `currency`."""
    return NANO // int(10 ** minor_digits(currency))


def to_nano(amount: Decimal) -> int:
    """Round an amount in whole currency units to integer nano-units, half up: once per call."""
    return int((amount * NANO).to_integral_value(rounding=ROUND_HALF_UP))


def to_minor(nano: int, currency: str) -> int:
    """Round nano-units to the currency's minor unit, half up (away from zero): once per statement line."""
    per_minor = nano_per_minor(currency)
    sign = -1 if nano < 0 else 1
    return sign * ((2 * abs(nano) + per_minor) // (2 * per_minor))


def whole_minor(nano: int, currency: str) -> int:
    """Return the whole minor units in non-negative nano-units: for a credit, which is never rounded up."""
    return nano // nano_per_minor(currency)


def from_minor(minor: int, currency: str) -> int:
    """Return the nano-units of an amount in minor units. Exact."""
    return minor * nano_per_minor(currency)


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An exact amount of one currency. Two currencies never add up: ValueError."""

    nano: int
    currency: str = "USD"

    @classmethod
    def of(cls, amount: Decimal | int | str, currency: str = "USD") -> "Money":
        """Make Money from whole units, such as Money.of("9.00")."""
        return cls(to_nano(Decimal(amount)), currency)

    @classmethod
    def of_minor(cls, minor: int, currency: str = "USD") -> "Money":
        """Make Money from cents, or from won, where there are no decimals."""
        return cls(from_minor(minor, currency), currency)

    @property
    def minor(self) -> int:
        """The amount in minor units, rounded half up."""
        return to_minor(self.nano, self.currency)

    @property
    def amount(self) -> Decimal:
        """The exact amount in whole units."""
        return Decimal(self.nano) / NANO

    def __add__(self, other: "Money") -> "Money":
        return Money(self.nano + self._same(other).nano, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.nano - self._same(other).nano, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.nano, self.currency)

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.currency}"

    def _same(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(f"Cannot combine {self.currency} with {other.currency}.")
        return other
