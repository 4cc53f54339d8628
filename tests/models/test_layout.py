import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_zoo import completion

from rekindle.models.fused import spread
from rekindle.models.layout import Heads, pack
from rekindle.models.samples import rows_of

CPU = torch.device("cpu")
ONE_HEAD = Heads(1, 1)
HIDDEN = -torch.inf


def layout_of(samples, heads=ONE_HEAD):
    return pack(rows_of(samples, 64), heads, CPU)


def packed_tokens(layout):
    return layout.token_ids[layout.tokens.index].tolist()


def test_the_picture_in_the_module_docstring():
    # Prompt p = 10 11, completions a = 20 21 (22) and b = 30 (31), and a row q = 40 41 42 (43) that shares nothing.
    layout = layout_of(
        [
            completion([10, 11], [20, 21, 22], prompt_key=1),
            completion([10, 11], [30, 31], prompt_key=1),
            completion([40, 41], [42, 43], prompt_key=2),
        ]
    )
    assert packed_tokens(layout) == [10, 11, 20, 21, 30, 40, 41, 42]
    assert layout.positions.tolist() == [0, 1, 2, 3, 2, 0, 1, 2]
    assert layout.longest == 4
    # 20 and 30 are both predicted by the prompt's last token.
    assert layout.predictors.index.tolist() == [1, 2, 3, 1, 4, 6, 7]
    # All four units fit one block: T = 3 (row q), S = 4 (row a), largest area first: q (9), a (8), p (4), b (3).
    (block,) = layout.blocks
    assert block.shape == (4, 3, 4)
    assert block.mask[0].tolist() == [[0, HIDDEN, HIDDEN, HIDDEN], [0, 0, HIDDEN, HIDDEN], [0, 0, 0, HIDDEN]]
    assert block.mask[1].tolist() == [[0, 0, 0, HIDDEN], [0, 0, 0, 0], [0, 0, 0, 0]]
    # One head each: a packed token's query, key and value are rows 3 n, 3 n + 1 and 3 n + 2. Padding reads row 0.
    queries, keys, values = layout.inputs.index.split([12, 16, 16])
    assert (queries // 3).view(4, 3).tolist() == [[5, 6, 7], [2, 3, 0], [0, 1, 0], [4, 0, 0]]
    assert keys.view(4, 4).tolist() == [[16, 19, 22, 0], [1, 4, 7, 10], [1, 4, 0, 0], [1, 4, 13, 0]]
    assert (values - keys)[keys > 0].unique().tolist() == [1]
    assert layout.outputs.padding.tolist() == [5, 8, 10, 11]
    assert layout.outputs.bags.tolist() == [6, 7, 3, 4, 9, 0, 1, 2]


def test_equal_keys_with_different_prompts_share_nothing():
    layout = layout_of([completion([1, 2], [3, 4], prompt_key=5), completion([1, 9], [3, 4], prompt_key=5)])
    assert packed_tokens(layout) == [1, 2, 3, 1, 9, 3]


def test_equal_prompts_with_different_keys_share_nothing():
    layout = layout_of([completion([1, 2], [3, 4], prompt_key=5), completion([1, 2], [3, 4], prompt_key=6)])
    assert packed_tokens(layout) == [1, 2, 3, 1, 2, 3]


def test_distinct_tokens_are_listed_once():
    layout = layout_of([completion([4, 2], [4, 2, 4, 7])])
    assert layout.token_ids.tolist() == [2, 4]
    assert packed_tokens(layout) == [4, 2, 4, 2, 4]


def test_heads_are_grouped_by_the_key_head_they_use():
    # H = 4, K = 2: a token stores q0 q1 q2 q3 k0 k1 v0 v1.
    layout = layout_of([completion([5], [6])], Heads(4, 2))
    assert layout.inputs.index.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    layout = layout_of([completion([5, 6], [7])], Heads(4, 2))
    assert layout.inputs.index.tolist() == [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]


lengths = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=40)


def random_layout(rows):
    draw = np.random.default_rng(0)
    prompts = [draw.integers(0, 50, 2 + key).tolist() for key in range(4)]
    return layout_of([completion(prompts[key], range(length), prompt_key=key) for key, length in rows], Heads(2, 1))


@settings(max_examples=40, deadline=None)
@given(lengths)
def test_spreading_is_the_transpose_of_gathering(rows):
    layout = random_layout(rows)
    tokens = layout.positions.numel()
    generator = torch.Generator().manual_seed(0)
    for gather, count in ((layout.inputs, tokens * 4), (layout.outputs, tokens * 2), (layout.predictors, tokens)):
        values = torch.randn(count, 3, generator=generator, dtype=torch.float64)
        slots = torch.randn(gather.index.numel(), 3, generator=generator, dtype=torch.float64)
        gathered = values[gather.index].index_fill(0, gather.padding, 0)
        torch.testing.assert_close((gathered * slots).sum(), (values * spread(slots, gather)).sum())


@settings(max_examples=40, deadline=None)
@given(lengths)
def test_every_packed_head_has_its_slot_and_little_is_padding(rows):
    layout = random_layout(rows)
    tokens = layout.positions.numel()
    assert sorted(layout.outputs.index[layout.outputs.bags].tolist()) == list(range(2 * tokens))
    assert set(layout.inputs.index.tolist()) == set(range(4 * tokens))
    for block in layout.blocks:
        units, queries, keys = block.shape
        assert layout.inputs.index.numel() > 0
        assert not (block.mask == HIDDEN).all(-1).any(), "a query must see something"
        assert block.mask.shape in {(1, queries, keys), (units, queries, keys)}
    padded = sum(units * queries * keys for units, queries, keys in (block.shape for block in layout.blocks))
    spans = torch.tensor([length for _, length in rows])
    assert padded <= 6 * (spans * (spans + 5)).sum() + 4096 * len(layout.blocks)
