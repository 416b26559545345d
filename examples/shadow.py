"""Try a new model on real questions, without anybody waiting for it: the strategy shadow."""

from __future__ import annotations

import time

import branchline as bl


CONFIGS = [{"model": "proven"}, {"model": "new"}, {"model": "broken"}]


@bl.traced_experiment("answers", strategy="shadow")
def answer(question: str, config: dict[str, str]) -> str:
    with bl.step("ask", model=config["model"]):
        if config["model"] == "broken":
            msg = "no answer"
            raise ConnectionError(msg)
        time.sleep(0.05 if config["model"] == "proven" else 0.2)
        return f"{config['model']} says: {len(question)}"


def main() -> None:
    with bl.configure("shadow"):
        # The answer of the first configuration, as soon as it is there; the others go on behind it.
        print(answer("How long is this question?", configs=CONFIGS))
    # The end of the run has waited for them: what they did, and what they raised, is recorded.


if __name__ == "__main__":
    main()
