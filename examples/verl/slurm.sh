#!/usr/bin/env bash
#SBATCH --job-name=rekindle
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=0
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.log
# run.sh on the nodes of a SLURM job: a Ray cluster that lives as long as the job, and the driver on its first node.
#
#     TASK=dapo_math SIZE=32b sbatch examples/verl/slurm.sh [further overrides]
#     TASK=search CORPUS=$HOME/data/wiki-18/wiki-18.jsonl sbatch examples/verl/slurm.sh
#
# Submit from the root of the repository, with the environment of verl and rekindle active.
set -euo pipefail
here=${SLURM_SUBMIT_DIR:?run this with sbatch}/examples/verl # sbatch runs a copy of this file from elsewhere
port=${RAY_PORT:-6379}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
on() { # NODE COMMAND...
  local node=$1
  shift
  srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" "$@"
}

read -r ip _ < <(on "$head" hostname --ip-address)
export NODES=${#nodes[@]} GPUS=${SLURM_GPUS_PER_NODE:-8} RAY_ADDRESS=$ip:$port

# A token of this job alone, without which whoever reaches the ports of Ray could run commands on the nodes.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN

on "$head" ray start --head --block --node-ip-address="$ip" --port="$port" --num-gpus="$GPUS" &
for node in "${nodes[@]:1}"; do
  on "$node" ray start --block --address="$RAY_ADDRESS" --num-gpus="$GPUS" &
done

# The search server of each node for the agents on it: they ask 127.0.0.1.
if [[ -n ${CORPUS:-} ]]; then
  for node in "${nodes[@]}"; do
    # shellcheck disable=SC2086
    on "$node" rekindle serve-retriever --corpus "$CORPUS" --port 8000 ${RETRIEVER_OPTIONS:-} &
  done
  server=$!
  until on "$node" curl --silent --fail --output /dev/null http://127.0.0.1:8000/health; do
    if ! kill -0 "$server" 2>/dev/null; then
      echo "the search server on $node has ended; what it said is above" >&2
      exit 1
    fi
    sleep 10
  done
fi

on "$head" timeout 10m python - "$NODES" <<'PYTHON'
import sys
import time

import ray

while True:
    try:
        ray.init(address="auto", logging_level="ERROR")
        alive = sum(node["Alive"] for node in ray.nodes())
        ray.shutdown()
    except ConnectionError:
        alive = 0
    if alive >= int(sys.argv[1]):
        break
    print(f"{alive} of {sys.argv[1]} nodes have joined", flush=True)
    time.sleep(5)
PYTHON

on "$head" bash "$here/run.sh" "$@"
