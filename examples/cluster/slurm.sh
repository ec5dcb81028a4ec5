#!/bin/bash
#SBATCH --job-name=admm
#SBATCH --ntasks=8
#SBATCH --time=1:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

# One rank for each task, from a first start to the end of the run, whatever time limits come
# between. Submit: sbatch slurm.sh RUN [OPTIONS of admm train]. RUN is a folder that all nodes see.
# Open MPI: PMI=pmix sbatch slurm.sh RUN

run=${1:?the folder of the run}
shift
if [ ! -e "$run/checkpoints" ]; then
    what=(--out "$run" "$@")
elif [ "${SLURM_RESTART_COUNT:-0}" = 0 ]; then
    what=(--resume "$run" "$@")
else  # divergence may have changed options since the first start
    what=(--resume "$run")
fi
srun --mpi="${PMI:-pmi2}" python -m admm train "${what[@]}"
code=$?

# A time limit interrupts the run (code 1); refusals, divergence and lost ranks have other codes.
if [ $code = 1 ] && grep -q '"status": "interrupted"' "$run/summary.json"; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
