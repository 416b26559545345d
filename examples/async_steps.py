"""Steps in asyncio: every task knows its parent, however many there are."""

from __future__ import annotations

import asyncio

import branchline as bl


@bl.traced_step
async def fetch(url: str) -> str:
    await asyncio.sleep(0.05)
    bl.stamp("answered", url=url)
    return f"the page at {url}"


@bl.traced_step
async def crawl(urls: list[str]) -> list[str]:
    # Side by side: each fetch is a step of its own below this one.
    return await asyncio.gather(*(fetch(url) for url in urls))


async def main() -> None:
    with bl.configure("async steps"):
        async with bl.step("warm up"):
            await asyncio.sleep(0.02)
        pages = await crawl([f"https://example.org/{number}" for number in range(20)])
        print(f"{len(pages)} pages")


if __name__ == "__main__":
    asyncio.run(main())
