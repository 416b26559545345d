"""Take turns: each call runs the next configuration, as an A/B test does: the strategy round_robin."""

from __future__ import annotations

import asyncio

import branchline as bl


CONFIGS = [{"name": "short", "greeting": "Hello"}, {"name": "long", "greeting": "Good morning"}]


@bl.traced_experiment("greetings", strategy="round_robin")
async def greet(name: str, config: dict[str, str]) -> str:
    async with bl.step("write"):
        await asyncio.sleep(0.01)
        return f"{config['greeting']}, {name}!"


async def main() -> None:
    with bl.configure("round robin"):
        for name in ("Ada", "Grace", "Edsger", "Barbara"):
            # The caller gets what the function returns, and does not see that there are variants.
            print(await greet(name, configs=CONFIGS))


if __name__ == "__main__":
    asyncio.run(main())
