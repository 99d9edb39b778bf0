"""What no student can be made of is refused, and told what to give instead."""

from dataclasses import replace

import pytest
from image_networks import CARD, folder
from test_training import DENOISER
from test_training_students import LADDER, PATHS, consistency, images

import sdebench as sb
from sdebench.training import recipe
from sdebench.training.consistency import ConsistencyTraining
from sdebench.training.progressive import Halving


@pytest.fixture
def spec(tmp_path) -> str:
    return str(folder(tmp_path / "teacher", CARD))


@pytest.mark.parametrize(
    ("card", "settings", "message"),
    [
        (CARD | {"kind": "eps"}, {}, "predicts eps: give one that predicts v"),
        (None, {}, "has no card of continuous time: give a network that 'sdebench train' made"),
        (CARD, {"sample_size": 8}, r"makes images \(1, 8, 8\), and the data has \(1, 4, 4\)"),
    ],
    ids=["kind", "chain", "shape"],
)
def test_a_network_that_cannot_teach_is_refused(card, settings, message, tmp_path):
    chain = None if card else {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "prediction_type": "v_prediction"}
    spec = str(folder(tmp_path / "teacher", card, chain, **settings))
    with pytest.raises(sb.UsageError, match=message):
        consistency(spec)


def test_a_missing_teacher_is_refused():
    with pytest.raises(sb.UsageError, match="unknown network 'digitz'; did you mean 'digits'"):
        consistency("digitz")


def student_of(folder_, card, task):
    made = recipe.from_plain(task | {"teacher": str(folder(folder_ / "teacher", CARD | {"sampled": card}))})
    return ConsistencyTraining(made, images()) if task["task"] == "consistency" else Halving(made, images(), "cpu", "", 2)


DDIM4 = {"solver": "ddim", "grid": "uniform_t", "steps": 4}
JUMPS = {"solver": "consistency", "grid": "uniform_t", "steps": [1, 2, 4]}


@pytest.mark.parametrize(
    ("card", "task", "message"),
    [
        (DDIM4 | {"steps": 1}, LADDER, r"a student itself, for .*'steps': 1\} alone: give its own teacher, or to one"),
        (DDIM4 | {"steps": 16}, LADDER, "halvings that begin with half its steps$"),
        (DDIM4 | {"grid": "uniform_lam"}, LADDER, "halvings that begin with half its steps$"),
        (JUMPS, LADDER, "halvings that begin with half its steps$"),
        (DDIM4, PATHS, "give its own teacher$"),
        (JUMPS, PATHS, "give its own teacher$"),
    ],
)
def test_a_student_teaches_in_its_own_steps_alone(card, task, message, tmp_path):
    with pytest.raises(sb.UsageError, match=message):
        student_of(tmp_path, card, task)


def test_a_student_of_twice_the_steps_teaches(tmp_path):
    assert student_of(tmp_path, DDIM4, LADDER).steps == 2


@pytest.mark.parametrize("schedule", ["EDM", "Rectified", "VE"])
@pytest.mark.parametrize("task", [LADDER, PATHS])
def test_a_schedule_that_does_not_preserve_variance_is_refused(task, schedule, tmp_path):
    teacher = str(folder(tmp_path / "teacher", CARD | {"schedule": schedule, "lams": [-3.0, 3.0]}))
    made = recipe.from_plain(task | {"teacher": teacher})
    with pytest.raises(sb.UsageError, match="does not preserve variance: give VPCosine or VPLinear"):
        ConsistencyTraining(made, images()) if task is PATHS else Halving(made, images(), "cpu", "", 2)


def test_the_teachers_schedule_in_other_words_is_no_other(spec):
    for said in ("VPCosine", "VPCosine(s=0.008)", "VPCosine( s=8e-3 )"):
        made = recipe.from_plain(PATHS | {"teacher": spec, "schedule": said})
        assert ConsistencyTraining(made, images()).recipe.schedule == CARD["schedule"]
    with pytest.raises(sb.UsageError, match=r"schedule of recipe 'paths' is 'VPCosine\(s=0\.01\)', and of its teacher 'VPC"):
        ConsistencyTraining(replace(made, schedule="VPCosine(s=0.01)"), images())


def test_a_setting_that_is_the_teachers_is_refused(spec):
    made = recipe.from_plain(PATHS | {"teacher": spec})
    with pytest.raises(sb.UsageError, match=r"time_scale of recipe 'paths' is 20\.0, and of its teacher 1000\.0: leave it out"):
        ConsistencyTraining(replace(made, time_scale=20.0), images())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LADDER | {"halvings": [8, 4, 1]}, r"halvings \[8, 4, 1\] of recipe 'ladder': give numbers of steps, each half"),
        (LADDER | {"halvings": []}, "each half of the one before"),
        (LADDER | {"halvings": [1, 0.5]}, r"halvings of a recipe is \[1, 0\.5\]: give a list of whole numbers"),
        (LADDER | {"halvings": [1.5]}, "give a list of whole numbers"),
        (LADDER | {"halvings": [2.0, 1.0]}, "give a list of whole numbers"),
        (LADDER | {"halvings": [True]}, "give a list of whole numbers"),
        (LADDER | {"halvings": ["a"]}, "give a list of whole numbers"),
        (LADDER | {"halvings": [0]}, "each half of the one before"),
        (LADDER | {"lams": ["a", "b"]}, r"lams of a recipe is \['a', 'b'\]: give a list of numbers"),
        (LADDER | {"lams": [False, True]}, "give a list of numbers"),
        (LADDER | {"kind": "eps"}, "kind 'eps' of recipe 'ladder', whose task is 'progressive': give 'v'"),
        (PATHS | {"teacher": "", "network": DENOISER.network, "kind": "eps"}, "whose task is 'consistency': give 'v'"),
        (DENOISER.plain() | {"kind": "bogus"}, "kind 'bogus' of recipe 'tiny': give one of x0, eps"),
        (LADDER | {"teacher": "", "network": DENOISER.network}, "has no teacher: give the network to begin with"),
        (LADDER | {"network": DENOISER.network}, "leave the network out"),
        (LADDER | {"intervals": 8}, "intervals of recipe 'ladder', whose task is 'progressive': leave it out"),
        (PATHS | {"intervals": 1}, "give how many the path has, 2 or more"),
        (PATHS | {"halvings": [1]}, "halvings of recipe 'paths', whose task is 'consistency': leave it out"),
        (DENOISER.plain() | {"network": {}, "teacher": "digits"}, "teacher of recipe 'tiny', whose task is 'denoiser'"),
        (PATHS | {"teacher": ""}, "a recipe without 'network': give it"),
    ],
)
def test_a_recipe_of_no_student_is_refused(content, message):
    with pytest.raises(sb.UsageError, match=message):
        recipe.from_plain(content)
