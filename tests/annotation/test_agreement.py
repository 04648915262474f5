"""Agreement: against published values, the library, planted truths, and real judgments where they are at hand."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest

from annotation.agreement import Reason, Table, agreement, by_pair, by_period, orders, severity, share, table
from annotation.agreement.alpha import alpha_and_percent, coincidences, reference_alpha, value_counts
from annotation.agreement.drawing import kinds_of
from annotation.agreement.severity import interval_alpha, without_offsets

REPO = Path(__file__).resolve().parents[2]
NAN = math.nan
# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, sections A, B and C to E: a row an observer.
BINARY = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
LETTERS = [[1, 1, 2, 2, 4, 3, 3, 3, 5, 4, 4, 1], [2, 1, 2, 2, 2, 3, 3, 3, 5, 4, 4, 4]]
FOUR = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]


def from_matrix(matrix: Any, **fields: Any) -> Table:
    """A table of an observers × units matrix with NaN where nothing was said."""
    values = np.asarray(matrix, float)
    people, units = np.nonzero(~np.isnan(values))
    fields = {name: np.asarray(each)[units] for name, each in fields.items()}
    return table(units=units, people=people, values=values[people, units], **fields)


@pytest.mark.parametrize(
    ("matrix", "nominal", "ordinal"), [(BINARY, 0.095, None), (LETTERS, 0.692, None), (FOUR, 0.743, 0.815)]
)
def test_published_values(matrix: Any, nominal: float, ordinal: float | None) -> None:
    found = agreement(from_matrix(matrix))
    assert found.nominal.value is not None and round(found.nominal.value, 3) == nominal
    if ordinal:
        assert found.ordinal.value is not None and round(found.ordinal.value, 3) == ordinal


def test_the_published_interval_alpha() -> None:
    found = interval_alpha(from_matrix(FOUR).shared())
    assert found.value is not None and round(found.value, 3) == 0.849


def test_what_is_counted_is_what_two_people_judged() -> None:
    """Unit 12 of the published example was judged by one person alone, who drops out with it."""
    found = agreement(from_matrix(FOUR))
    assert (found.num_units, found.num_judgments, found.num_people) == (11, 40, 4)


def random_table(seed: int = 0, *, units: int = 40, people: int = 4, steps: int = 5) -> tuple[Table, Any]:
    generator = np.random.default_rng(seed)
    level = generator.normal(size=units)
    matrix = np.clip(np.round(3 + level + generator.normal(size=(people, units))), 1, steps)
    matrix[generator.random(matrix.shape) < 0.3] = NAN
    return from_matrix(matrix), matrix


@pytest.mark.parametrize("seed", range(5))
def test_our_replicates_follow_the_library_s_formula(seed: int) -> None:
    data, matrix = random_table(seed)
    counts = value_counts(data.units, data.values)
    sums = coincidences(counts).sum(axis=0)[None]
    for level in ("nominal", "ordinal"):
        ours, _same = alpha_and_percent(sums, level=level)
        library = krippendorff.alpha(reliability_data=matrix, level_of_measurement=level)
        assert ours[0] == pytest.approx(library, abs=1e-12)
        assert reference_alpha(counts, level=level) == pytest.approx(library, abs=1e-12)
    library = krippendorff.alpha(reliability_data=matrix, level_of_measurement="interval")
    assert interval_alpha(data.shared()).value == pytest.approx(library, abs=1e-9)


def test_percent_agreement_by_hand() -> None:
    """Unit 0: 1 1 2, two of six ordered pairs agree; unit 1: 1 1, both do. (3·2/6 + 2·1)/5 = 0.6."""
    data = table(units=[0, 0, 0, 1, 1, 2], people=[1, 2, 3, 1, 2, 1], values=[1, 1, 2, 1, 1, 1])
    assert agreement(data).percent.value == pytest.approx(0.6)


def test_the_newest_of_a_person_s_values_of_a_unit_stands() -> None:
    twice = table(
        units=[7, 7, 7], people=[1, 2, 1], values=[3, -3, -3], days=["2026-01-01", "2026-01-02", "2026-01-03"]
    )
    assert len(twice) == 2
    assert agreement(twice).percent.value == 1.0


def test_degrees_count_for_ordinal_alpha_alone() -> None:
    values = np.array([[3, 2, -1, -3, 2, -2], [1, 3, -2, -1, 3, -1]])
    people, units = np.indices(values.shape).reshape(2, -1)
    found = agreement(table(units=units, people=people, values=values.ravel(), classes=np.sign(values.ravel())))
    assert found.nominal.value == 1.0 and found.percent.value == 1.0
    assert found.ordinal.value is not None and found.ordinal.value < 0.9


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (table(units=[], people=[], values=[]), Reason.NOTHING),
        (table(units=[1, 2], people=[1, 1], values=[1, 2]), Reason.ONE_PERSON),
        (table(units=[1, 2], people=[1, 2], values=[1, 2]), Reason.NO_OVERLAP),
        (table(units=[1, 1, 2, 2], people=[1, 2, 1, 2], values=[1, 1, 1, 1]), Reason.ONE_VALUE),
    ],
)
def test_why_a_value_is_undefined(data: Table, reason: Reason) -> None:
    found = agreement(data)
    assert found.nominal.value is None and found.nominal.reason == reason
    assert found.ordinal.value is None and found.ordinal.reason == reason


def test_percent_agreement_is_there_where_alpha_is_not() -> None:
    found = agreement(table(units=[1, 1, 2, 2], people=[1, 2, 1, 2], values=[1, 1, 1, 1]))
    assert found.percent.value == 1.0


def test_why_an_interval_is_not_there() -> None:
    one = table(units=[1, 1, 2, 2], people=[1, 2, 1, 2], prompts=[5] * 4, values=[1, 2, 1, 1])
    assert agreement(one).nominal.value is not None
    assert agreement(one).nominal.low is None and agreement(one).nominal.reason == Reason.ONE_PROMPT
    nearly_one_value = table(units=[1, 1, 2, 2], people=[1, 2, 1, 2], values=[1, 1, 1, 2])
    assert agreement(nearly_one_value).nominal.reason == Reason.TOO_FEW


def test_the_same_seed_gives_the_same_interval_and_the_order_of_rows_does_not_matter() -> None:
    data, _matrix = random_table()
    shuffled = np.random.default_rng(3).permutation(len(data))
    again = table(units=data.units[shuffled], people=data.people[shuffled], values=data.values[shuffled])
    assert agreement(data, seed=4) == agreement(again, seed=4)
    assert agreement(data, seed=4).nominal != agreement(data, seed=5).nominal


def clustered(generator: np.random.Generator, prompts: int, *, pairs: int = 6, people: int = 3) -> Table:
    """Prompts are easy or hard: on the easy ones people nearly always agree, on the hard ones they guess."""
    is_easy = generator.random(prompts) < 0.5
    prompt, unit, person = (axis.ravel() for axis in np.indices((prompts, pairs, people)))
    truth = generator.integers(0, 2, (prompts, pairs))[prompt, unit]
    is_right = generator.random(len(prompt)) < np.where(is_easy[prompt], 0.97, 0.5)
    values = np.where(is_right, truth, 1 - truth)
    return table(units=prompt * pairs + unit, people=person, prompts=prompt, values=values)


def interval_by_single_votes(data: Table, generator: np.random.Generator) -> float:
    """The width when votes are drawn one by one, as if each were independent."""
    drawn = []
    for _replicate in range(100):
        rows = data.where(np.sort(generator.integers(len(data), size=len(data))))
        drawn.append(reference_alpha(value_counts(rows.units, rows.values)))
    low, high = np.quantile(np.asarray(drawn, float), [0.025, 0.975])
    return float(high - low)


def test_intervals_over_prompts_hold_what_they_promise_and_those_over_votes_do_not() -> None:
    """Alpha's true value here, from 40,000 prompts, must lie in about 95 of 100 intervals."""
    generator = np.random.default_rng(11)
    true = agreement(clustered(generator, 40_000), replicates=1).nominal.value
    assert true is not None
    hits, widths, by_votes, by_questions = 0, [], [], []
    for round_ in range(100):
        data = clustered(generator, 60)
        found = agreement(data, replicates=300, seed=round_).nominal
        assert found.low is not None and found.high is not None
        hits += found.low <= true <= found.high
        widths.append(found.high - found.low)
        alone = agreement(
            table(units=data.units, people=data.people, values=data.values), replicates=300, seed=round_
        ).nominal
        assert alone.low is not None and alone.high is not None
        by_questions.append(alone.high - alone.low)
        if round_ < 10:
            by_votes.append(interval_by_single_votes(data, generator))
    assert 88 <= hits <= 100
    assert np.mean(by_questions) < 0.75 * np.mean(widths)
    assert np.mean(by_votes) < 0.75 * np.mean(widths)


def test_by_pair_of_people() -> None:
    data, matrix = random_table(1)
    found = by_pair(data, replicates=50)
    assert [(pair.first, pair.second) for pair in found] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for pair in found:
        both = matrix[[pair.first, pair.second]]
        library = krippendorff.alpha(reliability_data=both, level_of_measurement="ordinal")
        assert pair.agreement.ordinal.value == pytest.approx(library, abs=1e-12)
        assert pair.agreement.num_units == int((~np.isnan(both)).all(axis=0).sum())
    assert by_pair(table(units=[1, 2], people=[1, 2], values=[1, 2])) == []


def test_over_time_a_unit_belongs_where_its_newest_judgment_came() -> None:
    days = ["2026-11-16", "2026-11-24", "2026-11-17", "2026-11-22"]  # Monday; Tuesday after; Tuesday; Sunday
    found = by_period(table(units=[1, 1, 2, 2], people=[1, 2, 1, 2], values=[1, 2, 1, 1], days=days))
    assert [(str(period.start), period.is_month) for period in found] == [("2026-11-16", False), ("2026-11-23", False)]
    assert [period.agreement.percent.value for period in found] == [1.0, 0.0]
    days[0], days[1] = "2025-01-01", "2025-01-31"
    found = by_period(table(units=[1, 1, 2, 2], people=[1, 2, 1, 2], values=[1, 2, 1, 1], days=days))
    assert [(str(period.start), period.is_month) for period in found] == [("2025-01-01", True), ("2026-11-01", True)]


def rated(*, shift: float, noise: float, seed: int = 0) -> Table:
    """150 prompts with two answers each, rated 1 to 9 by three people; person 2 is lower by `shift` and noisier."""
    generator = np.random.default_rng(seed)
    level = generator.normal(size=300) * 1.5
    heard = level + generator.normal(size=(3, 300)) * np.array([0.5, 0.5, noise])[:, None]
    matrix = np.clip(np.round(6 + heard - np.array([0, 0, shift])[:, None]), 1, 9)
    return from_matrix(matrix, prompts=np.arange(300) // 2)


def test_who_rates_low_but_orders_well_agrees() -> None:
    strict, noisy = severity(rated(shift=2, noise=0.5)), severity(rated(shift=0, noise=3))
    assert strict.raw.value and strict.shifted.value and strict.order.nominal.value
    assert noisy.raw.value and noisy.shifted.value and noisy.order.nominal.value
    assert strict.raw.value < 0.65 and strict.shifted.value > 0.8, "taking the strictness out mends it"
    assert noisy.shifted.value - noisy.raw.value < 0.02, "there is no strictness to take out of mere noise"
    assert strict.order.nominal.value > noisy.order.nominal.value + 0.2
    offset = strict.offsets[2]
    assert offset.low is not None and offset.high is not None
    assert -2.2 < offset.low <= offset.value < -1.7 < 0 and offset.high < -1.6  # type: ignore[operator]
    assert strict.offsets[0].value == pytest.approx(1, abs=0.15)  # beside one strict and one like themselves


def test_a_shift_of_the_scale_changes_no_order() -> None:
    ratings = rated(shift=0, noise=1)
    stretched = table(
        units=ratings.units,
        people=ratings.people,
        prompts=ratings.prompts,
        values=np.where(ratings.people == 1, ratings.values**3, ratings.values),
    )
    assert agreement(orders(ratings)) == agreement(orders(stretched))


def test_offsets_are_compared_through_shared_answers_only() -> None:
    """Person 1 met the good answers and person 3 the poor ones; both rate as person 2 does, who met all."""
    values = [[5, 4, 5, NAN, NAN, NAN], [5, 4, 5, 1, 2, 1], [NAN, NAN, NAN, 1, 2, 1]]
    found = severity(from_matrix(values))
    assert [offset.value for offset in found.offsets.values()] == [0, 0, 0]
    data = from_matrix(values).shared()
    assert np.allclose(without_offsets(data).values, data.values)


def test_severity_without_two_rated_answers_to_a_prompt_says_so() -> None:
    found = severity(from_matrix([[1, 2, 3], [2, 2, 3]]))
    assert found.order.nominal == (None, None, None, Reason.NO_ORDERS)
    assert severity(table(units=[], people=[], values=[])).raw.reason == Reason.NO_OVERLAP


@pytest.mark.parametrize(
    ("right", "num", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3 (Wilson's score without correction).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_s_interval_as_published(right: int, num: int, low: float, high: float) -> None:
    found = share(right, num)
    assert found.low is not None and found.high is not None
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_a_share_of_nothing_is_not_there_and_an_impossible_one_is_refused() -> None:
    assert share(0, 0).value is None
    with pytest.raises(ValueError, match="right must be between"):
        share(3, 2)


def test_a_missing_value_is_refused() -> None:
    with pytest.raises(ValueError, match="leave the row out"):
        table(units=[1], people=[1], values=[NAN])


def real(name: str) -> list[dict[str, Any]]:
    path = Path(os.environ.get("PLUMBLINE_SHARED", "")) / "data" / name
    if not os.environ.get("PLUMBLINE_SHARED") or not path.exists():
        pytest.skip("the real judgments are not here: set PLUMBLINE_SHARED to the folder that holds data/")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_on_real_comparisons_by_three_people() -> None:
    """960 votes on 320 pairs: as the library has it on the whole matrix; several pairs share a prompt."""
    rows = real("pairwise_pandalm.jsonl")
    signs = {"a": 1, "b": -1, "tie": 0}
    matrix = np.full((3, len(rows)), NAN)
    for unit, row in enumerate(rows):
        for vote in row["annotations"]:
            matrix[int(vote["annotator"][-1]) - 1, unit] = signs[vote["choice"]]
    prompts = np.unique([row["instruction"] + row["input"] for row in rows], return_inverse=True)[1]
    found = agreement(from_matrix(matrix, prompts=prompts))
    assert found.num_judgments == 960 and found.num_prompts < 320
    assert found.nominal.value == pytest.approx(krippendorff.alpha(matrix, level_of_measurement="nominal"))
    assert found.nominal.low is not None and found.nominal.high is not None
    assert 0.5 < found.nominal.low < found.nominal.value < found.nominal.high < 0.9


def test_on_real_ratings_by_four_people() -> None:
    """Questions about stories, three answers each, 1 to 100: people differ in strictness more than in order."""
    rows = real("ratings_squality.jsonl")
    people = sorted({vote["annotator"] for row in rows for vote in row["annotations"]})
    models = sorted({response["model"] for response in rows[0]["responses"]})
    votes = [(prompt, vote) for prompt, row in enumerate(rows) for vote in row["annotations"]]
    data = table(
        units=[prompt * len(models) + models.index(vote["model"]) for prompt, vote in votes],
        people=[people.index(vote["annotator"]) for _prompt, vote in votes],
        prompts=[prompt for prompt, _vote in votes],
        values=[vote["overall_rating"] for _prompt, vote in votes],
    )
    found = severity(data)
    assert found.raw.value is not None and found.shifted.value is not None
    assert found.shifted.value > found.raw.value
    matrix = np.full((len(people), data.units.max() + 1), NAN)
    matrix[data.people, data.units] = data.values
    assert found.raw.value == pytest.approx(krippendorff.alpha(matrix, level_of_measurement="interval"))


def test_a_check_of_the_site_loads_no_slow_library() -> None:
    """What only a consensus by reliability or a training run needs must not slow every start."""
    code = (
        "import sys, os; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings');"
        "from django.core.management import execute_from_command_line as run; run(['manage.py', 'check']);"
        "import annotation.urls, training.urls;"
        "slow = {'torch', 'transformers', 'scipy', 'pandas', 'sklearn', 'crowdkit', 'nltk'};"
        "print('loaded:', sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("loaded: []"), done.stdout


@pytest.mark.parametrize(("num", "columns", "values"), [(400, 6, 2), (50, 1, 3), (9, 3, 1), (1, 4, 5)])
def test_kinds_of_prompts_are_the_different_rows(num: int, columns: int, values: int) -> None:
    """In ascending order, on which the drawn numbers depend; a column that is the same everywhere changes nothing."""
    rows = np.random.default_rng(0).integers(values, size=(num, columns)) / 3
    rows[:, 0] = 0.5
    kinds, kind_of, nums = kinds_of(rows)
    wanted, places, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    assert np.array_equal(kinds, wanted) and np.array_equal(nums, counts)
    assert np.array_equal(kind_of, places.reshape(-1))
