"""Stock verl on a CPU: two ranks over gloo, and rekindle's engine as its rollout server."""

from tiny_run import SEPARATE

GAP = "training/rollout_probs_diff_max"


def test_a_synchronous_run_trains_on_the_probabilities_that_the_rollouts_had(make_run):
    made = make_run(mode="sync", steps=3).checked()
    assert [one["step"] for one in made.metrics] == [1, 2, 3]
    assert all(0 < one[GAP] < 1e-5 for one in made.metrics)
    assert all(one["actor/grad_norm"] > 0 for one in made.metrics)


def test_an_asynchronous_run_goes_on_with_rollouts_that_an_update_interrupted(make_run):
    made = make_run(mode="colocate_async", steps=3, prompts=2, group=4, changes=["trainer.save_freq=3"]).checked()
    assert [one["step"] for one in made.metrics] == [1, 2, 3]
    assert all(one["actor/grad_norm"] >= 0 for one in made.metrics)
    assert (made.out / "checkpoints" / "global_step_3" / "actor").is_dir()


def test_a_run_with_a_server_of_its_own_trains_on_what_older_weights_sampled(make_run):
    made = make_run(mode="separate_async", steps=3, changes=SEPARATE).checked()
    gaps = [one[GAP] for one in made.metrics]
    assert gaps[0] < 1e-5, "the first weights have arrived"
    assert len(gaps) == 3
    assert all(1e-5 < gap < 0.5 for gap in gaps[1:]), "one prompt batch is ahead of the trainer"
