#!/usr/bin/env bash
# A sweep on several nodes of a SLURM cluster, resumed by itself at the time limit:
#
#     sbatch slurm.sh lambda --data cifar10 --data-dir /shared/cifar --epochs 50
#
# All nodes need this directory and an environment with tune-nas. See docs/slurm.md.
#SBATCH --job-name=tune-nas
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=tune-nas-%j.log
set -euo pipefail

sweep=${1:?name a sweep, e.g. sbatch slurm.sh lambda}
shift
name=${NAME:-$(basename "$sweep" .yaml)}
export TUNE_NAS_STORAGE=${TUNE_NAS_STORAGE:-$PWD/runs}
environment=${VIRTUAL_ENV:-$PWD/.venv}
export PATH=$environment/bin:$PATH
command -v tune-nas ray >/dev/null || {
    echo "$environment has no tune-nas; activate its environment before sbatch" >&2
    exit 2
}

# Ray: one node runs the head and the driver, and all run trials. Only processes with the token are
# served.
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address)
ip=${ip%% *}
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN
resources=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_PER_TASK:-0}")

wait_for_head() { # ten minutes at most
    for _ in {1..300}; do
        ray health-check --address "$1" 2>/dev/null && return
        sleep 2
    done
    echo "Ray did not start at $1" >&2
    return 1
}
export -f wait_for_head

started=()
end() { # every step of this job, also after an error
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait "${started[@]}" 2>/dev/null || true
}
trap end EXIT

srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap \
    ray start --head --node-ip-address="$ip" --port="$port" --include-dashboard=false \
    "${resources[@]}" --block &
started+=($!)
for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --nodelist="$node" --overlap \
        bash -c 'wait_for_head "$0" && exec "$@"' "$ip:$port" \
        ray start --address="$ip:$port" "${resources[@]}" --block &
    started+=($!)
done
wait_for_head "$ip:$port"

# SLURM sends SIGTERM to this script five minutes before the time limit. tune-nas then ends as after
# Ctrl-C, and the job is put back into the queue, to resume there.
if [ -e "$TUNE_NAS_STORAGE/$name/state.json" ]; then
    command=(tune-nas resume "$name" --address "$ip:$port")
else
    command=(tune-nas sweep "$sweep" --name "$name" --address "$ip:$port" "$@")
fi
"${command[@]}" &
driver=$!
stopped=
trap 'stopped=1; kill -TERM "$driver" 2>/dev/null || true' TERM
status=0
wait "$driver" || status=$?
if [ -n "$stopped" ]; then
    wait "$driver" || status=$? # the first wait ended with the signal
    if [ "$status" -ne 0 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
fi
exit "$status"
