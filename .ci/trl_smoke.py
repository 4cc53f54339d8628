"""Two steps of TRL with a recipe of rekindle: a model of random weights, and what the run has to leave behind."""

import string
import tempfile
from pathlib import Path

from datasets import Dataset
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from trl import GRPOConfig

import rekindle
from rekindle.integrations.trl import RekindleTrainer

WRITTEN = ("config.toml", "run.json", "metrics.jsonl", "samples.jsonl", "ledger.sqlite")
"""Files below ``output_dir/rekindle``."""


def small() -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """A model of one layer, and its tokenizer, with a token per character."""
    words = ["<pad>", "<eos>", "<unk>", *string.digits, *"+="]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    config = Qwen3Config(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return Qwen3ForCausalLM(config), PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **special)


def short(completions: list[str], **columns: object) -> list[float]:
    """1 for less than six characters."""
    return [float(len(text) < 6) for text in completions]


def main() -> None:
    """Train, and look at what is there."""
    model, tokenizer = small()
    with tempfile.TemporaryDirectory() as folder:
        arguments = GRPOConfig(
            output_dir=folder, max_steps=2, num_generations=4, per_device_train_batch_size=16, max_completion_length=8,
            learning_rate=1e-3, bf16=False, use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        rows = [{"prompt": f"{a}+{b}="} for a in range(8) for b in range(8)]
        trainer = RekindleTrainer(
            model=model,
            reward_funcs=short,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            recipe="recycle",
        )
        trainer.train()
        absent = [name for name in WRITTEN if not (Path(folder) / "rekindle" / name).is_file()]
        assert not absent, f"not written: {absent}"
        run = rekindle.load_run(Path(folder) / "rekindle")
        assert run.metrics[-1]["step"] == 2, run.metrics[-1]
        print(f"rekindle {rekindle.__version__} from {rekindle.__file__}: two steps, {len(run.samples)} samples")


if __name__ == "__main__":
    main()
