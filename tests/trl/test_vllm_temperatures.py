"""A temperature per row with TRL's vLLM: a fake of the installed signature, for one process and several."""

import inspect

import pytest
from trl.generation.vllm_generation import VLLMGeneration

from rekindle.integrations.trl.sampling.vllm_temperatures import temperatures_in_vllm


class FakeVLLM:
    """A `VLLMGeneration` that answers with the temperature of the call and the first token of each prompt."""

    def __init__(self, fails=False):
        self.temperature, self.calls, self.fails = 1.0, [], fails

    def generate(self, prompts, images, num_generations, profiler=None):
        if self.fails:
            raise OSError("server gone")
        assert num_generations == 1
        self.calls.append((self.temperature, [prompt[0] for prompt in prompts], images))
        completions = [[prompt[0], round(10 * self.temperature)] for prompt in prompts]
        logprobs = [[[-float(prompt[0])], [-self.temperature]] for prompt in prompts]
        return prompts, completions, logprobs, None


def test_the_fake_and_the_stand_in_have_the_signature_of_the_installed_trl():
    theirs = list(inspect.signature(VLLMGeneration.generate).parameters)[1:]
    fake = FakeVLLM()
    assert list(inspect.signature(fake.generate).parameters) == theirs
    with temperatures_in_vllm(fake, [1.0], lambda own: own):
        assert list(inspect.signature(fake.generate).parameters) == theirs
    assert "self.temperature" in inspect.getsource(VLLMGeneration.generate)


def test_vllm_samples_each_row_at_its_temperature_in_order():
    fake = FakeVLLM()
    heats = [1.3, 1.0, 1.3, 0.8]
    with temperatures_in_vllm(fake, heats, lambda own: own):
        prompts, completions, logprobs, nothing = fake.generate(
            prompts=[[1], [2], [3], [4]], images=None, num_generations=4
        )
    assert fake.calls == [(0.8, [4], None), (1.0, [2], None), (1.3, [1, 3], None)]
    assert prompts == [[1], [2], [3], [4]]
    assert completions == [[1, 13], [2, 10], [3, 13], [4, 8]]
    assert logprobs[0] == [[-1.0], [-1.3]]
    assert nothing is None
    assert fake.temperature == 1.0
    assert "generate" not in vars(fake)


def test_every_process_makes_the_same_calls_of_the_same_size():
    processes = [[1.0, 1.3, 1.3], [1.0, 1.0, 1.0], [0.7, 1.0, 1.3]]
    everything = [(heat, own.count(heat)) for own in processes for heat in sorted(set(own))]
    shapes = []
    for own in processes:
        fake = FakeVLLM()
        with temperatures_in_vllm(fake, own, lambda _: everything):
            _, completions, _, _ = fake.generate([[1], [2], [3]], [["x"], None, ["z"]], 1)
        assert completions == [[row + 1, round(10 * heat)] for row, heat in enumerate(own)]
        assert all(len(images) == len(first) for _, first, images in fake.calls)
        shapes.append([(heat, len(first)) for heat, first, _ in fake.calls])
    assert shapes == [[(0.7, 1), (1.0, 3), (1.3, 2)]] * 3


def test_vllm_is_as_before_after_an_error():
    fake = FakeVLLM(fails=True)
    with pytest.raises(OSError, match="server gone"), temperatures_in_vllm(fake, [1.7], lambda own: own):
        fake.generate([[1]], None, 1)
    assert fake.temperature == 1.0
    assert "generate" not in vars(fake)


def test_trl_reads_single_turns_of_vllm_through_the_stand_in(trainer):
    made, fake = trainer(), FakeVLLM()
    made.use_vllm, made.vllm_generation, made._last_loaded_step = True, fake, made.state.global_step
    with temperatures_in_vllm(fake, [1.3, 1.0], lambda own: own):
        completions, logprobs = made._generate_single_turn([[1], [2]], None, {}, 4)
    assert completions == [[1, 13], [2, 10]]
    assert logprobs == [[-1.0, -1.3], [-2.0, -1.0]]
    assert fake.temperature == 1.0
