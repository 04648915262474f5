"""Rows of a loop that has gone round once, written directly: for tests of the pages that show them.

What writes them in the product has tests of its own (actions, follow, snapshots); here no trainer runs.
"""

import hashlib
import math
from typing import Any

from django.utils import timezone

from annotation.models import Assignment, Judgment, Project, Prompt, Response, Task, User
from training.models import (
    Chat,
    ChatAnswer,
    Generation,
    Likelihood,
    Metric,
    ModelVersion,
    Review,
    Round,
    RoundTask,
    Run,
    Sample,
    Snapshot,
)

QUESTIONS = ["Where is my parcel?", "How do I reset my password?", "Can I change my address?", "我的包裹在哪里？"]
REWARD_SUMMARY: dict[str, Any] = {
    "accuracy": 0.81,
    "accuracy_low": 0.72,
    "accuracy_high": 0.88,
    "num_pairs": 99,
    "num_decided": 96,
    "log_loss": 0.45,
    "ece": 0.06,
    "length_baseline_accuracy": 0.55,
    "length_baseline_low": 0.45,
    "length_baseline_high": 0.65,
    "calibration": [
        {"predicted": (bin_ + 0.5) / 10, "observed": min(1.0, (bin_ + 0.4) / 9), "n": 6 + bin_} for bin_ in range(10)
    ],
    "temperature": 1.4,
    "log_loss_calibrated": 0.43,
    "ece_calibrated": 0.02,
    "calibration_calibrated": [
        {"predicted": (bin_ + 0.5) / 10, "observed": (bin_ + 0.5) / 10, "n": 6 + bin_} for bin_ in range(10)
    ],
    "human_agreement": 0.64,
    "human_agreement_low": 0.5,
    "human_agreement_high": 0.76,
    "human_agreement_of_model": 0.73,
    "human_agreement_of_model_low": 0.6,
    "human_agreement_of_model_high": 0.84,
    "human_agreement_pairs": 45,
    "human_agreement_votes": 98,
    "num_heads": 4,
    "head_std": 0.21,
    "unanimous_pairs": 80,
    "unanimous_accuracy": 0.86,
    "divided_pairs": 19,
    "divided_accuracy": 0.58,
    "accuracy_by_strength": {
        "1": {"accuracy": 0.68, "low": 0.5, "high": 0.8, "num_pairs": 30},
        "3": {"accuracy": 0.95, "low": 0.8, "high": 1.0, "num_pairs": 66},
    },
}


def prompts(project: Project, num: int = 4) -> list[Prompt]:
    texts = [QUESTIONS[n] if n < len(QUESTIONS) else f"Question {n}?" for n in range(num)]
    return Prompt.objects.bulk_create(
        Prompt(project=project, messages=[{"role": "user", "content": text}], content_hash=f"prompt {number}")
        for number, text in enumerate(texts)
    )


def answer(prompt: Prompt, text: str, *, source: str) -> Response:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Response.objects.create(prompt=prompt, text=text, source=source, content_hash=digest)


def label(project: Project, *, by: User, prompts: list[Prompt]) -> list[Judgment]:
    """One comparison a prompt, judged; the first answer is better."""
    judgments = []
    for prompt in prompts:
        a, b = (answer(prompt, f"{side} answer to {prompt}", source=f"import {side}") for side in ("first", "second"))
        task = Task.objects.create(
            project=project, prompt=prompt, kind="comparison", response_a=a, response_b=b, num_judged=1
        )
        lent = Assignment.objects.create(
            task=task, annotator=by, status="judged", is_swapped=False, expires_at=timezone.now()
        )
        judgments.append(Judgment.objects.create(task=task, annotator=by, assignment=lent, preferred=a, strength=2))
    return judgments


def snapshot(project: Project, *, pairs: int = 540, num_simulated: int = 0, name: str = "a") -> Snapshot:
    split = {"pairs": pairs * 8 // 10, "prompts": 32, "demonstrations": 0}
    rest = {"pairs": pairs // 10, "prompts": 4, "demonstrations": 0}
    counts = {
        "splits": {"train": split, "validation": rest, "test": rest},
        "judgments": pairs,
        "simulated": num_simulated,
        "pairs": pairs,
        "prompts": 40,
        "demonstrations": 0,
    }
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Snapshot.objects.create(project=project, content_hash=digest, counts=counts, num_simulated=num_simulated)


def base(project: Project, name: str = "starter") -> ModelVersion:
    return ModelVersion.objects.create(project=project, name=name, kind="base", location=f"/models/{name}")


def run(project: Project, kind: str, *, status: str = "succeeded", **fields: Any) -> Run:
    if status not in ("queued",):
        fields = {"started_at": timezone.now(), "step": 40, "total_steps": 40, **fields}
    if status in ("succeeded", "failed", "cancelled"):
        fields.setdefault("finished_at", timezone.now())
    return Run.objects.create(project=project, kind=kind, status=status, **fields)


def version(run: Run, kind: str, **fields: Any) -> ModelVersion:
    return ModelVersion.objects.create(
        project=run.project,
        name=f"{run.kind}-{run.pk}",
        kind=kind,
        parent=run.model,
        run=run,
        location=f"/models/{run.kind}-{run.pk}",
        checksum="c" * 64,
        **fields,
    )


def reward_model(project: Project, *, model: ModelVersion, snapshot: Snapshot) -> ModelVersion:
    """A finished reward run with its curves and its report."""
    done = run(project, "reward", model=model, snapshot=snapshot, config={"epochs": 2}, summary=REWARD_SUMMARY)
    metrics(done, 40)
    return version(done, "reward", metrics=REWARD_SUMMARY)


def policy(project: Project, *, model: ModelVersion, scorer: ModelVersion, snapshot: Snapshot) -> ModelVersion:
    """A finished PPO run with its curves and its samples."""
    done = run(project, "policy", model=model, reward_model=scorer, snapshot=snapshot, config={"kl_coef": 0.02})
    metrics(done, 40)
    samples(done, [0, 10, 20, 40])
    return version(done, "policy", metrics={"reward/mean": 0.9, "kl/sequence": 4.5})


def metrics(run: Run, num: int, *, first: int = 1) -> None:
    """`num` steps of values that look like a run's."""
    Metric.objects.bulk_create(
        Metric(run=run, step=step, time=1_700_000_000.0 + step, values=values_at(run.kind, step))
        for step in range(first, first + num)
    )


def values_at(kind: str, step: int) -> dict[str, float]:
    rise = 1 - math.exp(-step / 15)
    wobble = 0.05 * math.sin(step)
    if kind == "reward":
        validation = {"validation/loss": 0.69 - 0.2 * rise, "validation/accuracy": 0.5 + 0.3 * rise}
        return {
            "loss/train": 0.7 - 0.25 * rise + wobble,
            "train/accuracy": 0.5 + 0.32 * rise + wobble,
            "optim/grad_norm": 1.0 - 0.5 * rise,
            **(validation | {"validation/ece": 0.12 - 0.06 * rise} if step % 10 == 0 else {}),
        }
    return {
        "reward/mean": -0.4 + 1.4 * rise + wobble,
        "reward/with_kl": -0.4 + 1.2 * rise + wobble,
        "kl/sequence": 5 * rise + wobble,
        "kl/k3": 5.2 * rise,
        "kl/coef": 0.02,
        "policy/entropy": 2.2 - 0.6 * rise,
        "loss/policy": wobble / 10,
        "loss/value": 0.4 - 0.3 * rise,
        "value/explained_variance": 0.7 * rise,
        "policy/clip_fraction": 0.12 + wobble,
        "policy/approx_kl": 0.01 + wobble / 50,
        "response/length": 42 - 8 * rise,
        "response/ended": 0.8 + 0.19 * rise,
        "optim/grad_norm": 1.0 + wobble,
    }


def samples(run: Run, steps: list[int]) -> None:
    Sample.objects.bulk_create(
        Sample(
            run=run,
            step=step,
            prompt_id=str(number),
            prompt=[{"role": "user", "content": question}],
            text=f"Hello! After {step} steps I would say: your answer is on its way.",
            reward=-0.4 + step / 30,
            kl=step / 10,
            num_tokens=20 + number,
            has_ended=step > 0,
        )
        for step in steps
        for number, question in enumerate(QUESTIONS)
    )


def generations(version: ModelVersion, *, scorer: ModelVersion | None, prompts: list[Prompt], shift: float) -> Run:
    """A finished generate run: one answer a prompt, its reward rising by the prompt's number and shifted."""
    done = run(version.project, "generate", model=version, reward_model=scorer)
    for number, prompt in enumerate(prompts):
        text = f"Thank you for asking. {version.name} says: {prompt} Please look at your account page ({number})."
        Generation.objects.create(
            response=answer(prompt, text, source=version.name),
            version=version,
            run=done,
            settings={"temperature": 1.0},
            reward=round(0.1 * number * shift + shift, 3) if scorer else None,
            logprob=-20.0,
            num_tokens=18 + number,
        )
    return done


def review_of(a: ModelVersion, b: ModelVersion, *, prompt: Prompt, by: User, text: str = "Kinder.") -> Review:
    """An open review with an answer of each to this prompt, a vote and a comment on it."""
    review = Review.objects.create(project=b.project, a=a, b=b, opened_by=by)
    responses = []
    for number, version in enumerate((a, b)):
        responses.append(answer(prompt, f"Reviewed answer {number}.", source=version.name))
        done = run(version.project, "generate", model=version)
        Generation.objects.create(response=responses[-1], version=version, run=done, num_tokens=3)
    likelihood(a, b, responses[0])
    review.comments.create(prompt=prompt, text=text, by=by)
    review.comments.create(text=text, by=by)
    review.votes.create(
        prompt=prompt, response_a=responses[0], response_b=responses[1], by=by, is_swapped=False, choice="b"
    )
    return review


def likelihood(a: ModelVersion, b: ModelVersion, response: Response, *, words: str = "some words") -> Likelihood:
    a, b = sorted((a, b), key=lambda version: version.pk)
    tokens = [[words, -4.0, -1.0], [" rarer", -1.0, -2.0], ["", -0.5, -0.5]]
    return Likelihood.objects.create(
        response=response, a=a, b=b, run=run(b.project, "compare", model=b, reference=a, summary={"layers": LAYERS}),
        logprob_a=-5.5, logprob_b=-3.5, kl_a=1.0, kl_b=2.0, tokens=tokens,
    )  # fmt: skip


def chat_of(a: ModelVersion, b: ModelVersion | None, *, by: User, text: str, num_turns: int = 1) -> Chat:
    """A chat whose turns are all answered and voted on, but for the last one, which waits for its vote."""
    chat = Chat.objects.create(project=a.project, a=a, b=b, by=by)
    messages: list[dict[str, str]] = []
    for number in range(1, num_turns + 1):
        messages = [*messages, {"role": "user", "content": f"{text} {number}"}]
        turn = chat.turns.create(by=by, number=number, messages=messages)
        written = [
            ChatAnswer.objects.create(
                turn=turn, version=version, status="done", text=f"{text} answered {number} by {side}", settings={},
                num_tokens=9, has_ended=True,
            )
            for side, version in enumerate(chat.versions)
        ]  # fmt: skip
        if number < num_turns:
            turn.choice, turn.chosen, turn.voted_at = "-2", written[0], timezone.now()
            turn.save()
            messages = [*messages, {"role": "assistant", "content": written[0].text}]
    return chat


LAYERS = [
    {"layer": f"model.layers.{number}", "relative_change": 0.01 * number, "num_weights": 99} for number in range(3)
]


def round_of(version: ModelVersion, opponent: ModelVersion, *, tasks: list[Task], number: int = 1) -> Round:
    """A round that asked these tasks, every other one by doubt."""
    made = Round.objects.create(
        project=version.project, number=number, version=version, opponent=opponent, num_asked=len(tasks),
        random_share=0.5, num_random=len(tasks[::2]), num_doubtful=len(tasks[1::2]), num_pairs=40, num_same=2,
    )  # fmt: skip
    RoundTask.objects.bulk_create(
        RoundTask(round=made, task=task, is_random=place % 2 == 0) for place, task in enumerate(tasks)
    )
    return made
