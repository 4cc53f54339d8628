"""Two updates of one step, added up by hand."""

from rekindle.records.update_stats import UpdateStats


def stats(**changes):
    values = {
        "loss": 1.0,
        "entropy": 0.5,
        "grad_norm": 2.0,
        "lr": 1e-3,
        "kl": None,
        "clip_fraction": 0.0,
        "trained_tokens": 10,
        "computed_tokens": 20,
        "padded_tokens": 1,
        "recomputed_tokens": 0,
        "microbatches": 2,
        "optimizer_steps": 1,
    }
    return UpdateStats(**values | changes)


def test_counts_add_up_and_means_are_weighted_by_what_they_are_means_of():
    first = stats(moved=0.25)
    later = stats(
        loss=4.0, entropy=1.5, grad_norm=5.0, lr=2e-3, kl=0.5, clip_fraction=0.25, trained_tokens=30, optimizer_steps=2
    )
    found = first.followed_by(later)
    assert (found.loss, found.grad_norm) == ((1 + 2 * 4) / 3, (2 + 2 * 5) / 3)
    assert (found.entropy, found.clip_fraction) == ((10 * 0.5 + 30 * 1.5) / 40, 30 * 0.25 / 40)
    assert (found.trained_tokens, found.computed_tokens, found.padded_tokens) == (40, 40, 2)
    assert (found.microbatches, found.optimizer_steps) == (4, 3)
    assert (found.lr, found.kl, found.moved) == (2e-3, 0.5, 0.25)


def test_what_neither_measured_stays_unknown_and_movements_add_up():
    assert stats().followed_by(stats()).kl is None
    assert stats().followed_by(stats()).moved is None
    assert stats(moved=0.25).followed_by(stats(moved=0.5)).moved == 0.75


def test_the_gap_to_the_engine_is_that_of_the_first_update_which_has_one():
    assert stats(gap=0.01, gap_outside=0.5).followed_by(stats(gap=0.9, gap_outside=0.9)).gap == 0.01
    found = stats().followed_by(stats(gap=0.9, gap_outside=0.25))
    assert (found.gap, found.gap_outside) == (0.9, 0.25)
