"""A step: round the weights to multiples of a power of two."""

from dataclasses import replace

from gancompress.jobs.steps import Goal, Step, StepRun, Work, register_step
from gancompress.networks.generator import Generator
from gancompress.tasks.inputs import Inputs


@register_step
class Rounded(Step):
    kind = "rounded"

    bits: int = 6

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        scale = 2.0**self.bits
        state = {name: (tensor * scale).round() / scale for name, tensor in work.generator.state.items()}
        return replace(work, generator=Generator(work.generator.architecture, state), facts={"bits": self.bits})
