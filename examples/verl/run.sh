#!/usr/bin/env bash
# A training run with rekindle on verl: the settings of a task, a model size and an engine, and verl's own entry point.
#
#     TASK=gsm8k SIZE=7b bash examples/verl/run.sh                  on one node of 8 GPUs
#     TASK=dapo_math SIZE=32b NODES=4 bash examples/verl/run.sh     on a node of a Ray cluster that has four such nodes
#     bash examples/verl/run.sh trainer.total_training_steps=50     further overrides of verl or rekindle, which win
#     LAUNCH='rekindle verl --dry-run --' bash examples/verl/run.sh  only check, and print the command
#     LAUNCH='printf %s\n' bash examples/verl/run.sh                 only print the overrides, one a line
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

TASK=${TASK:-gsm8k}       # gsm8k, math, dapo_math or search: a file of tasks/
SIZE=${SIZE:-7b}          # 1.7b, 7b or 32b: a file of sizes/
ENGINE=${ENGINE:-vllm}    # vllm or sglang: a file of engines/
NODES=${NODES:-1}
GPUS=${GPUS:-8}           # of each node
RECIPE=${RECIPE:-recycle} # a recipe of rekindle, or the path of a TOML file with one
GROUP=${GROUP-8}          # rollouts of a prompt; empty for recipes that have a size of their own
DATA=${DATA:-$HOME/data}  # where the Parquet files are: gsm8k/train.parquet, ...
OUT=${OUT:-$HOME/runs}    # checkpoints and run files, on storage that all nodes share
NAME=${NAME:-$TASK-$SIZE-$ENGINE-$(basename "$RECIPE" .toml)}
LAUNCH=${LAUNCH:-python -m verl.trainer.main_ppo}
# MODEL: another model than that of sizes/, a directory or a hub id.  RETRIEVER: address of the task search's server.

overrides=()
for part in "tasks/$TASK" "sizes/$SIZE" "engines/$ENGINE"; do
  if [[ ! -f $here/$part.sh ]]; then
    echo "there is no $here/$part.sh; set TASK, SIZE and ENGINE to the name of a file in tasks/, sizes/ and engines/" >&2
    exit 2
  fi
  # shellcheck source=/dev/null
  source "$here/$part.sh"
done

if [[ -n $GROUP ]]; then overrides+=("actor_rollout_ref.rollout.n=$GROUP"); fi
overrides+=(
  trainer.v1.trainer_mode=rekindle
  "+rekindle.recipe=$RECIPE"
  algorithm.adv_estimator=grpo # any without a critic; rekindle computes the advantages
  "actor_rollout_ref.model.path=$MODEL"
  actor_rollout_ref.actor.strategy=fsdp2
  actor_rollout_ref.actor.use_dynamic_bsz=True
  actor_rollout_ref.actor.optim.lr=1e-6
  data.filter_overlong_prompts=True
  # The verifiers of rekindle, which also see the prompt.
  reward.reward_manager.source=importlib
  reward.reward_manager.module.path=pkg://rekindle.integrations.verl.reward_manager
  reward.reward_manager.name=PromptRewardManager
  "trainer.nnodes=$NODES"
  "trainer.n_gpus_per_node=$GPUS"
  trainer.project_name=rekindle
  "trainer.experiment_name=$NAME"
  "trainer.default_local_dir=$OUT/$NAME"
  "trainer.logger=[console,tensorboard]"
  trainer.save_freq=20
  trainer.test_freq=10
  trainer.max_actor_ckpt_to_keep=2
)

# LAUNCH is a command with arguments of its own.
# shellcheck disable=SC2086
exec $LAUNCH "${overrides[@]}" "$@"
