"""`python -m tests.fakes.stripe --port 12111`: the fake Stripe, on this machine only."""

import argparse
import secrets
from pathlib import Path

from aiohttp import web

from tests.fakes.stripe import state, webhooks
from tests.fakes.stripe.server import Fake
from tests.fakes.stripe.world import World


def main() -> None:
    """Run until stopped."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.stripe", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument(
        "--tag", help="goes into every id, so that two fakes do not give out the same (default: drawn)"
    )
    parser.add_argument(
        "--now", type=int, help="freeze the clock at this time (Unix seconds); default: it runs"
    )
    parser.add_argument("--webhook", help="address that gets every event")
    parser.add_argument("--webhook-secret", help="what the events are signed with (default: made)")
    parser.add_argument("--state", type=Path, help="a file that keeps everything from one run to the next")
    options = parser.parse_args()
    world = World(options.tag or secrets.token_hex(2), options.now)
    if options.state:
        state.load(world, options.state)
    world.settings["url"] = f"http://127.0.0.1:{options.port}"
    if options.webhook:
        for old in list(world.every("webhook_endpoint", url=options.webhook)):
            world.remove(old)
        endpoint = webhooks.create(world, {"url": options.webhook, "enabled_events": ["*"]})
        if options.webhook_secret:
            world.objects[endpoint["id"]]["_secrets"] = [options.webhook_secret]
    web.run_app(
        Fake(world, options.state).app(), host="127.0.0.1", port=options.port, print=None, access_log=None
    )


if __name__ == "__main__":
    main()
