"""The world in a file, for `make run`: Turnpike's database remembers customers, so the fake must too."""

from pathlib import Path

import orjson

from tests.fakes.stripe.world import World

_KEPT = ("tag", "counter", "offset", "objects", "order", "settings", "deliveries", "idempotency")


def save(world: World, file: Path) -> None:
    """Write the world, whole or not at all."""
    fresh = file.with_suffix(".new")
    fresh.write_bytes(orjson.dumps({name: getattr(world, name) for name in _KEPT}))
    fresh.replace(file)


def load(world: World, file: Path) -> bool:
    """Read the world back; False if there is none."""
    if not file.is_file():
        return False
    for name, value in orjson.loads(file.read_bytes()).items():
        setattr(world, name, value)
    return True
