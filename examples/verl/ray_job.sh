#!/usr/bin/env bash
# run.sh as a job of a Ray cluster that runs already, on a cluster of your own or KubeRay's.
#
#     RAY_API_SERVER_ADDRESS=http://HEAD:8265 TASK=gsm8k SIZE=7b NODES=4 bash examples/verl/ray_job.sh [further overrides]
#
# verl and rekindle must be installed on all nodes; DATA and OUT are paths there. The files of this folder are sent along.
# A cluster that asks for a token wants RAY_AUTH_MODE=token, and its token in ~/.ray/auth_token or RAY_AUTH_TOKEN.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${RAY_API_SERVER_ADDRESS:?set it to the address of the cluster, http://HEAD:8265}"

settings=()
for name in TASK SIZE ENGINE NODES GPUS RECIPE GROUP MODEL DATA OUT NAME RETRIEVER LAUNCH; do
  if [[ -n ${!name+set} ]]; then settings+=("$name=${!name}"); fi
done

exec ray job submit --no-wait --working-dir "$here" -- env "${settings[@]}" bash run.sh "$@"
