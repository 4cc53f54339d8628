"""SmolLM2 learns small sums with TRL's GRPOTrainer. docs/howto/trl.md makes it a script with recipes of rekindle.

`make smollm2` fetches the model.
"""

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer


def right(completions, answer, **columns):
    """1 where a completion ends with the answer."""
    texts = [completion[0]["content"].strip().removesuffix(".") for completion in completions]
    return [float(text.split()[-1:] == [value]) for text, value in zip(texts, answer, strict=True)]


sums = [(a, b) for a in range(2, 50) for b in range(2, 10)]
rows = [{"prompt": [{"role": "user", "content": f"What is {a} + {b}?"}], "answer": str(a + b)} for a, b in sums]
trainer = GRPOTrainer(
    model="models/SmolLM2-135M-Instruct",
    reward_funcs=right,
    args=GRPOConfig(
        output_dir="runs/sums",
        max_steps=60,
        per_device_train_batch_size=64,
        num_generations=4,
        max_completion_length=24,
        learning_rate=1e-5,
        save_steps=20,
        logging_steps=1,
        report_to="none",
    ),
    train_dataset=Dataset.from_list(rows),
)
trainer.train()
