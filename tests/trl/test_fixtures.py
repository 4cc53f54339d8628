"""The stock trainer on the tiny model."""


def test_the_stock_trainer_trains_on_the_tiny_model(trainer):
    made = trainer(max_steps=1)
    before = made.model.model.embed_tokens.weight.detach().clone()
    assert made.train().global_step == 1
    assert not before.equal(made.model.model.embed_tokens.weight)
