#!/usr/bin/env bash
# One run on several GPU nodes of a SLURM cluster, one process per GPU: sbatch docs/clusters/slurm.sh
# Start it from a folder that every node sees, with the library installed in .venv (pip install '.[cuda12]').
#SBATCH --job-name=gan
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.log
# Two minutes before the time is over every process is told to stop: the run saves, and goes on when it is started again.
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -euo pipefail

CONFIG=${CONFIG:-configs/dcgan.py}
WORKDIR=${WORKDIR:-$PWD/runs/gan}
export TFDS_DATA_DIR=${TFDS_DATA_DIR:-$PWD/data}

# JAX finds the number of processes, this one's number and the address of the first in SLURM's variables.
srun .venv/bin/python -m gan_jax.main --distributed --config "$CONFIG" --workdir "$WORKDIR" "$@"
