"""A small run with RekindleTrainer, for tests that start it as processes of their own.

python ranks.py OUT RECIPE STEPS ROWS [--resume] [--die-at N] [--save N]
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def odd(completions, **_):
    return [float(sum(one.isdigit() for one in text) % 2) for text in completions]


def main():
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig

    from rekindle.integrations.trl import RekindleTrainer

    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("recipe")
    parser.add_argument("steps", type=int)
    parser.add_argument("rows", type=int, help="rows of a micro-batch of one process")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--save", type=int)
    parser.add_argument("--set", default="{}", help="further arguments of GRPOConfig, as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)

    class Death(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == options.die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    model = AutoModelForCausalLM.from_pretrained(options.out.parent / "model", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(options.out.parent / "model", padding_side="left")
    settings = {
        "output_dir": str(options.out),
        "per_device_train_batch_size": options.rows,
        "gradient_accumulation_steps": 2,
        "num_generations": 4,
        "max_completion_length": 8,
        "max_steps": options.steps,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "report_to": [],
        "logging_steps": 1,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "seed": 3,
        "save_strategy": "steps" if options.save else "no",
        "save_steps": options.save or 500,
    }
    data = Dataset.from_list([{"id": str(number), "prompt": f"{number}+{number % 7}="} for number in range(40)])
    if options.recipe in ("c_rf_ntf", "rekindle", "sgpo"):
        settings |= {"num_generations": 8}
    trainer = RekindleTrainer(
        model,
        odd,
        GRPOConfig(**settings | json.loads(options.set)),
        data,
        processing_class=tokenizer,
        recipe=options.recipe,
        callbacks=[Death()] if options.die_at else [],
    )
    trainer.train(resume_from_checkpoint=options.resume)
    if trainer.accelerator.is_main_process:
        trainer.save_model(str(options.out / "end"))
        (options.out / "log.json").write_text(json.dumps(trainer.state.log_history))


if __name__ == "__main__":
    sys.exit(main())
