"""Steps whose student learns from teachers that train beside it."""

from __future__ import annotations

import pytest

from gancompress.errors import ConfigError
from gancompress.jobs.steps import Distill, Finetune
from gancompress.networks.generator import Generator
from gancompress.tasks import find_task
from gancompress.training import TrainingOptions
from tests.jobs.steps.small_work import distillation, make_surroundings, make_work, same_weights

TRAINING = TrainingOptions(num_images=4, num_decay_images=0, batch_size=2, checkpoint_every=4, log_every=2)
JUDGE = {"family": "patchgan", "config": {"ndf": 4, "n_layers": 1}}
DEEP = {"family": "resnet", "config": {"ngf": 4, "num_blocks": 2}}
TERMS = distillation(reconstruct="teacher", l1=1, features=1, gan={"weight": 1})


@pytest.mark.parametrize(
    ("initial", "deep", "task"), [("random", DEEP, "paired"), ("teacher", None, "paired"), ("random", None, "unpaired")]
)
def test_the_step_trains_student_and_teachers_and_keeps_both(initial, deep, task, tmp_path):
    options = {"initial": initial, "deep": deep, "discriminator": JUDGE}
    work = make_work()
    step = Distill(keep=0.5, training=TRAINING, distillation=TERMS, online=options)
    around = make_surroundings(tmp_path, None, task=find_task(task))
    made = step.run(work, *around)
    assert made.teacher is work.teacher
    assert made.generator.num_parameters < work.teacher.num_parameters
    kept = {path.name: Generator.load(path) for path in (tmp_path / "online_teachers").iterdir()}
    assert kept.keys() == ({"teacher", "deep"} if deep else {"teacher"})
    near = sum(float((kept["teacher"].state[n] - t).abs().mean()) for n, t in work.teacher.state.items())
    assert (near < 0.1) == (initial == "teacher")
    assert not same_weights(kept["teacher"], work.teacher)
    names = set(around.run.log.lines[-1][1])
    assert {"student", "teacher_generator", "teacher_discriminator"} <= names
    assert made.discriminator is not None


def test_finetuning_may_be_online_and_needs_a_task_that_trains_teachers(tmp_path):
    work, options = make_work(), {"initial": "teacher", "discriminator": JUDGE, "every": 2}
    step = Finetune(training=TRAINING, distillation=TERMS, online=options)
    made = step.run(work, *make_surroundings(tmp_path / "a", None))
    assert not same_weights(made.generator, work.generator)
    with pytest.raises(ConfigError, match=r"finetune.online: got the task 'imitate', which trains no teacher"):
        step.run(work, *make_surroundings(tmp_path / "b", None, task=find_task("imitate")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"online": {}, "stylegan2": {}}, "online: got stylegan2 beside it"),
        (
            {"online": {}, "distillation": distillation(l1=1, content={"kind": "ellipse"})},
            "online: got distillation.content",
        ),
        ({"online": {"every": 0}}, "every: got 0"),
    ],
)
def test_options_that_contradict_each_other(options, message):
    with pytest.raises(ConfigError, match=message):
        Finetune(**options)


@pytest.mark.parametrize(
    ("terms", "deep", "message"),
    [
        ({"features": 1}, DEEP, r"online.deep: got no term that compares images"),
        (
            {"l1": 1},
            {"family": "srvggnet_compact", "config": {"nf": 4, "num_conv": 1, "scale": 2}},
            r"distill.online.deep: the student returns \(1, 3, 16, 16\) and the teacher \(1, 3, 32, 32\) for an input",
        ),
    ],
)
def test_a_second_teacher_makes_images_like_the_students(terms, deep, message, tmp_path):
    own = distillation(reconstruct="teacher", **terms)
    step = Distill(keep=0.5, training=TRAINING, distillation=own, online={"deep": deep, "discriminator": JUDGE})
    with pytest.raises(ConfigError, match=message):
        step.run(make_work(), *make_surroundings(tmp_path, None))
