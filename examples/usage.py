"""Record what calls of models take, and see which branch of an experiment is worth its money."""

from __future__ import annotations

import branchline as bl


# In US dollars for a million tokens; models that everybody knows need no list.
PRICES = {"small": {"input": 0.15, "output": 0.60}, "large": {"input": 2.50, "output": 10}}


def call(model: str, question: str) -> dict[str, object]:
    """Pretend to be a provider."""
    usage = {"prompt_tokens": 400 + len(question), "completion_tokens": 120}
    return {"id": "answer-1", "model": model, "usage": usage}


@bl.traced_step
def answer(model: str, question: str) -> None:
    bl.record_usage(model, response=call(model, question))


def main() -> None:
    with bl.configure("usage", prices=PRICES) as telemetry, bl.experiment("models"):
        for model in PRICES:
            with bl.branch({"model": model}, name=model):
                for question in ("why?", "how?", "since when?"):
                    answer(model, question)
    print(f"branchline cost {telemetry.run_id} --by branch")


if __name__ == "__main__":
    main()
